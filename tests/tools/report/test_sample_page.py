"""The page of training samples: pictures, counts in the unit of the task, what is left out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from swin_dense.tools.report.sample_page import NUM_SHOWN, write_sample_page


class _Task:
    """As a task: samples with points of two classes."""

    annotation_unit = "points"

    def class_counts(self, sample: dict[str, Any], num_classes: int) -> np.ndarray:
        return np.bincount(sample["points"], minlength=num_classes)

    def draw_sample(self, dataset: Any, sample: dict[str, Any]) -> np.ndarray:
        return np.full((8, 8, 3), len(sample["points"]), np.uint8)


def _sample(image_id: int, *points: int) -> dict[str, Any]:
    image = torch.zeros(3, 8, 6, dtype=torch.uint8)
    return {"image_id": image_id, "image": image, "original_size": (16, 12), "points": points}


class _Data(list[int]):
    """As a data set."""

    class_names = ("cat", "<dog>")


def _write(run: Path, samples: list[dict[str, Any]], **more: Any) -> str:
    data: Any = _Data(range(5))
    for name, value in more.items():
        setattr(data, name, value)
    task: Any = _Task()
    path = write_sample_page(run, "toy", task=task, dataset=data, samples=samples)
    assert path == run / "samples.html"
    return path.read_text()


def test_annotations_are_counted_in_the_unit_of_the_task(tmp_path: Path) -> None:
    page = _write(tmp_path, [_sample(1, 0, 1, 1), _sample(2, 1), _sample(3)])
    assert "image 1, 12 x 16 px, given as 6 x 8, 3 points" in page
    assert "given as 6 x 8, 1 point<" in page
    assert "given as 6 x 8, 0 points" in page
    assert "<th>points</th>" in page
    assert "<td>cat</td><td>0</td><td>1</td>" in page
    assert "<td>&lt;dog&gt;</td><td>1</td><td>3</td>" in page
    assert "5 images and 2 classes" in page
    assert "Left out" not in page


def test_all_samples_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    page = _write(tmp_path, [_sample(i, 0) for i in range(NUM_SHOWN + 3)])
    assert page.count("data:image/jpeg") == NUM_SHOWN
    assert f"<td>cat</td><td>0</td><td>{NUM_SHOWN + 3}</td>" in page
    assert len(list((tmp_path / "samples").iterdir())) == NUM_SHOWN


def test_annotations_that_are_left_out_are_listed(tmp_path: Path) -> None:
    page = _write(tmp_path, [_sample(1)], report={"crowds": 1200})
    assert "Left out of the training" in page
    assert "<td>crowds</td><td>1,200</td>" in page
