"""`export` refuses what cannot be; what it writes gives what the model gives, at any size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import BACKBONE, save_segmentor

import swin_dense as sd
from swin_dense.tools.cli import main
from swin_dense.tools.export.runtimes import open_exported

SIZES = [(32, 32), (33, 47), (100, 64), (97, 255), (300, 41)]


def needs(*libraries: str) -> None:
    for library in libraries:
        pytest.importorskip(library, reason=f'needs {library} (pip install -e ".[export]")')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "model.pth"], "--out must end in .onnx or .pt2, got model.pth"),
        (["--out", "m.onnx", "--fp16", "--int8"], "--fp16 and --int8 must not be together"),
        (["--out", "m.pt2", "--int8"], "--int8 must have an .onnx file as --out, got m.pt2"),
        (
            ["--out", "m.onnx", "--part", "backbone", "--data", "."],
            "--data is for --part model, got --part backbone",
        ),
        (["--out", "m.onnx", "--data", "absent"], "--data must be a folder, got absent"),
    ],
)
def test_flags_that_do_not_fit_are_one_line(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({}, "weights.pth")
    assert main(["export", "--weights", "weights.pth", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_segmentor_gives_the_same_label_maps_at_any_size(suffix: str, tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    model = save_segmentor(tmp_path / "model.safetensors")
    out = sd.tools.export(tmp_path / "model.safetensors", tmp_path / f"model{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", out.name}
    runtime = open_exported(out)
    metadata = runtime.metadata
    assert (metadata.kind, metadata.task, metadata.scale) == (
        "upernet",
        "segmentation",
        (2048, 512),
    )
    assert metadata.class_names == ("road", "sky", "tree")
    for size in SIZES:
        image = np.random.default_rng(0).integers(0, 256, (1, 3, *size), dtype=np.uint8)
        (expected,) = model.predict(list(torch.from_numpy(image)))
        found = runtime.run(image)
        assert found["label_map"].dtype == np.int64
        assert np.mean(found["label_map"][0] != expected.numpy()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_backbone_takes_any_number_of_images_of_any_size(suffix: str, tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    torch.manual_seed(0)
    backbone = sd.SwinTransformer(BACKBONE).eval()
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    out = sd.tools.export(
        tmp_path / "backbone.pth", tmp_path / f"backbone{suffix}", part="backbone"
    )
    runtime = open_exported(out)
    for count, size in enumerate(SIZES, start=1):
        image = np.random.default_rng(0).integers(0, 256, (count, 3, *size), dtype=np.uint8)
        pixels = sd.batch_images(list(torch.from_numpy(image)), size_divisor=1).pixels
        with torch.no_grad():
            expected = backbone(pixels)
        for level, maps in zip(runtime.run(image).values(), expected, strict=True):
            np.testing.assert_allclose(level, maps.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "largest"), [("fp16", 0.6), ("int8", 0.8)])
def test_fewer_bits_make_a_smaller_file(flag: str, largest: float, tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    weights = tmp_path / "model.safetensors"
    save_segmentor(weights)
    full = sd.tools.export(weights, tmp_path / "full.onnx")
    small = sd.tools.export(weights, tmp_path / "small.onnx", **{flag: True})
    precision = open_exported(small).metadata.precision
    assert precision == {"fp16": "float16", "int8": "int8"}[flag]
    assert _weight_bytes(small) < largest * _weight_bytes(full)


def _weight_bytes(path: Path) -> int:
    import onnx

    initializers = onnx.load(path).graph.initializer
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in initializers)
