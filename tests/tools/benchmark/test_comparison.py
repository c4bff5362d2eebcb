"""The table and the picture of a comparison."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from swin_dense.tools.benchmark.comparison import agreement, as_data, as_table, draw
from swin_dense.tools.benchmark.measuring import Measurement

BOXES = {
    "boxes": np.array([[0, 0, 10, 10], [20, 20, 60, 40]], dtype=np.float32),
    "scores": np.array([0.9, 0.5], dtype=np.float32),
    "labels": np.array([1, 2]),
}


def test_agreement_counts_what_both_have() -> None:
    moved = BOXES | {"boxes": BOXES["boxes"] + 0.25, "scores": BOXES["scores"] - 0.125}
    assert agreement(BOXES, BOXES) == {"same": 1, "boxes": 0, "scores": 0}
    assert agreement(BOXES, moved) == {"same": 1, "boxes": 0.25, "scores": 0.125}
    other = BOXES | {"labels": np.array([1, 3])}
    assert agreement(BOXES, other)["same"] == 0.5
    none = {name: value[:0] for name, value in BOXES.items()}
    assert agreement(none, none)["same"] == 1
    assert agreement(BOXES, none)["same"] == 0
    maps = [{"label_map": np.array([[0, 1], [2, value]])} for value in (0, 1)]
    assert agreement(*maps) == {"same": 0.75}


def test_table_and_picture_show_every_way(tmp_path: Path) -> None:
    measured = {
        "eager": Measurement(seconds=0.2, first_seconds=1, memory=500, result=BOXES),
        "onnxruntime": Measurement(seconds=0.1, first_seconds=2, memory=400, result=BOXES),
        "openvino": Measurement(error="does not know the operator"),
        "torchvision": Measurement(seconds=0.4, first_seconds=1, memory=600),
    }
    data = as_data(measured)
    assert data["onnxruntime"]["times_eager"] == pytest.approx(2)
    console = Console(width=120, record=True, file=(tmp_path / "table.txt").open("w"))
    console.print(as_table(data, "a model"))
    text = console.export_text()
    for words in ("eager", "100.0% of the detections", "does not know", "(random weights)", "2.00"):
        assert words in text
    draw(data, "a model", tmp_path / "picture.png")
    picture = cv2.imread(str(tmp_path / "picture.png"))
    assert picture.shape[1] > 800
    assert picture.std() > 10
