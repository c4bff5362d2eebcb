"""The page about export: its code runs on a file that the command wrote."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from exported_models import save_segmentor, write_brightest_channel

import swin_dense as sd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


def read_code() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def test_the_example_has_thirty_lines_at_most() -> None:
    example = next(code for code in read_code() if "onnxruntime.InferenceSession" in code)
    assert len(example.strip().splitlines()) <= 30
    assert set(re.findall(r"^import (\w+)", example, re.M)) <= {
        *("json", "cv2", "numpy", "onnxruntime")
    }


def run_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the page's code beside `model.onnx` on a small image; gives the names that it sets."""
    for library in ("onnxruntime", "openvino"):
        pytest.importorskip(library, reason=f"needs {library}")
    monkeypatch.chdir(folder)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite("street.jpg", image)
    names: dict[str, Any] = {}
    example, openvino = (code for code in read_code() if "torch" not in code)
    example = example.replace('metadata["scale"]', "(100, 60)")  # a small image stays small
    for code in (example, openvino):
        exec(compile(code, PAGE.name, "exec"), names)
    return names


def test_the_code_runs_a_file_in_both_runtimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    write_brightest_channel(tmp_path / "model.onnx")
    names = run_page(tmp_path, monkeypatch)
    assert names["resized"].shape == (60, 84, 3)
    expected = names["resized"].argmax(axis=2)
    assert np.array_equal(names["outputs"]["label_map"][0], expected)
    assert np.array_equal(names["by_openvino"]["label_map"][0], expected)
    share = max(np.mean(expected == label) for label in range(3))
    assert f": {share:.1%} of the image" in capsys.readouterr().out


@pytest.mark.slow
def test_the_code_gives_what_the_model_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    model = save_segmentor(tmp_path / "upernet.safetensors")
    sd.tools.export(tmp_path / "upernet.safetensors", tmp_path / "model.onnx")
    names = run_page(tmp_path, monkeypatch)
    (expected,) = model.predict([as_tensor(names["resized"])])
    found = names["outputs"]["label_map"][0]
    assert len(np.unique(found)) > 1
    assert np.mean(found != expected.numpy()) < 1e-3
    assert np.mean(names["by_openvino"]["label_map"][0] != found) < 1e-2


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
