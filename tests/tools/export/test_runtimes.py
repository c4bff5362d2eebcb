"""Files are opened by their suffix, and what cannot be opened is told in one line."""

from pathlib import Path

import numpy as np
import pytest

from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata
from swin_dense.tools.export.runtimes import is_exported, open_exported


def write_mean(path: Path, *, with_metadata: bool = True) -> None:
    """An ONNX file of a hand-made graph: the mean of `image`."""
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=kinds.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        ],
        "mean",
        [helper.make_tensor_value_info("image", kinds.UINT8, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info("mean", kinds.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if with_metadata:
        metadata = ExportMetadata(part="model", outputs=("mean",))
        helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.save(model, path)


def test_an_onnx_file_runs_and_tells_of_itself(tmp_path: Path) -> None:
    write_mean(tmp_path / "model.onnx")
    runtime = open_exported(tmp_path / "model.onnx")
    assert runtime.metadata == ExportMetadata(part="model", outputs=("mean",))
    image = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(1, 3, 4, 5)
    assert runtime.run(image) == {"mean": np.float32(29.5)}


def test_an_onnx_file_of_others_is_refused(tmp_path: Path) -> None:
    write_mean(tmp_path / "model.onnx", with_metadata=False)
    with pytest.raises(ValueError, match=r"model\.onnx must be a file that `swin-dense export`"):
        open_exported(tmp_path / "model.onnx")


def test_what_is_no_exported_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx: no such file"):
        open_exported(tmp_path / "absent.onnx")
    (tmp_path / "model.pth").touch()
    with pytest.raises(ValueError, match=r"must end in \.onnx or \.pt2, got .*model\.pth"):
        open_exported(tmp_path / "model.pth")
    (tmp_path / "model.onnx").write_text("no model")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    with pytest.raises(ValueError, match=r"model\.onnx cannot be opened by ONNX Runtime"):
        open_exported(tmp_path / "model.onnx")


def test_a_package_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_text("no package")
    with pytest.raises(ValueError, match=r"model\.pt2 cannot be opened by AOTInductor"):
        open_exported(tmp_path / "model.pt2")


def test_exported_files_are_known_by_their_suffix() -> None:
    assert is_exported("a/model.onnx")
    assert is_exported(Path("model.PT2"))
    assert not is_exported("model.safetensors")
