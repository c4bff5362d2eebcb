"""The page about export: its code runs on a file that the command wrote."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from exported_models import save_segmentor

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


@pytest.mark.skipif(
    "SWIN_DENSE_SLOW" not in os.environ, reason="takes a minute; set SWIN_DENSE_SLOW to run it"
)
def test_the_code_gives_what_the_model_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(library, reason=f"needs {library}")
    monkeypatch.chdir(tmp_path)
    model = save_segmentor(Path("upernet.safetensors"))
    sd.tools.export("upernet.safetensors", "model.onnx")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite("street.jpg", image)
    names: dict[str, object] = {}
    example, openvino = (code for code in read_code() if "torch" not in code)
    example = example.replace('metadata["scale"]', "(100, 60)")  # a small image stays small
    exec(compile(example, PAGE.name, "exec"), names)
    (expected,) = model.predict([as_tensor(names["resized"])])
    found = names["outputs"]["label_map"][0]
    assert np.mean(found != expected.numpy()) < 1e-3
    assert "of the image" in capsys.readouterr().out
    exec(compile(openvino, PAGE.name, "exec"), names)
    assert np.mean(names["by_openvino"]["label_map"][0] != found) < 1e-2


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
