"""Metadata of exported files, read without running them."""

import json
import zipfile
from pathlib import Path

import pytest

import swin_dense as sd
from swin_dense.tools.cli import main
from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata
from swin_dense.tools.export.reading import read_metadata

METADATA = ExportMetadata(
    part="model",
    outputs=("boxes", "scores", "labels"),
    kind="faster_rcnn",
    task="detection",
    config={"num_classes": 2, "backbone": {"embed_dim": 96}},
    class_names=("cat", "dog"),
    scale=(1333, 800),
    thresholds={"score": 0.05},
)


def write_onnx(path: Path, metadata: dict[str, str]) -> Path:
    """A model of one node, with metadata."""
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n"])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    onnx.helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def write_package(path: Path, metadata: dict[str, str]) -> Path:
    """An archive such as AOTInductor's, without the code."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/model/code.so", b"\x7fELF")
        archive.writestr("model/data/aotinductor/model/c_metadata.json", json.dumps(metadata))
    return path


@pytest.mark.parametrize(("write", "name"), [(write_onnx, "m.onnx"), (write_package, "m.pt2")])
def test_metadata_is_read_back(write, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, {"other": "text", METADATA_KEY: METADATA.to_json()})
    assert read_metadata(path) == METADATA


@pytest.mark.parametrize(("write", "name"), [(write_onnx, "m.onnx"), (write_package, "m.pt2")])
def test_a_file_of_others_is_refused_in_one_line(write, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, {"other": "text"})
    with pytest.raises(ValueError, match="must be a file that `swin-dense export` wrote"):
        read_metadata(path)


@pytest.mark.parametrize("name", ["m.onnx", "m.pt2"])
@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff", b"a text, no model", b"\x72\x7f"])
def test_a_file_that_is_no_model_is_refused_in_one_line(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_metadata(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_metadata(tmp_path / f"absent_{name}")


def test_inspect_says_what_an_exported_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_package(tmp_path / "m.pt2", {METADATA_KEY: METADATA.to_json()})
    facts = sd.tools.inspect(path)
    assert (facts["holds"], facts["num_classes"], facts["format"]) == ("faster_rcnn", 2, "package")
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "faster_rcnn, float32" in text
    assert "2: cat, dog" in text
    assert "32 to 4096 px" in text
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scale"] == [1333, 800]
