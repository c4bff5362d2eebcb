"""The file of predictions is whole on the disk while there is more to come."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from swin_dense.tools.tasks.results.coco_writer import DetectionWriter

MODEL: Any = SimpleNamespace(
    class_names=("cat", "dog"), category_ids=None, config=SimpleNamespace(num_classes=2)
)
IMAGE = torch.zeros(3, 40, 50, dtype=torch.uint8)
RESULT = {
    "boxes": torch.tensor([[5.0, 10, 25, 30]]),
    "labels": torch.tensor([1]),
    "scores": torch.tensor([0.75]),
    "masks": [{"size": [40, 50], "counts": [210, 5, 1785]}],
}


def read_names(path: Path) -> list[str]:
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


def test_what_was_found_is_on_the_disk_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0

    def clock() -> float:
        nonlocal seconds
        seconds += 1  # a writing takes one, between the two looks at the clock around it
        return seconds

    monkeypatch.setattr(time, "monotonic", clock)
    path = tmp_path / "predictions.json"
    writer = DetectionWriter(path, MODEL, score_threshold=0.5)
    writer.add("a.jpg", IMAGE, RESULT)
    assert read_names(path) == ["a.jpg"]
    writer.add("b.jpg", IMAGE, RESULT)
    assert read_names(path) == ["a.jpg"]  # too soon: writing would take most of the time
    seconds += 20
    writer.add("c.jpg", IMAGE, RESULT)
    assert read_names(path) == ["a.jpg", "b.jpg", "c.jpg"]
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.json"]


def test_masks_may_be_run_lengths_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    writer = DetectionWriter(path, MODEL, score_threshold=0.0)
    writer.add("a.jpg", IMAGE, RESULT)
    writer.add("b.jpg", IMAGE, {key: RESULT[key] for key in ("boxes", "labels", "scores")})
    writer.close()
    first, second = json.loads(path.read_text())["annotations"]
    assert (first["area"], first["segmentation"]["size"]) == (5.0, [40, 50])
    assert (first["id"], second["id"], second["image_id"]) == (1, 2, 2)
    assert second["area"] == 400
    assert "segmentation" not in second
