"""Records of evaluations: written whole, read back, dropped with the steps they belong to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

from swin_dense.tools.runs.evaluations import (
    drop_later_records,
    list_records,
    read_record,
    record_evaluation,
)
from swin_dense.tools.tasks.drawing import as_hex, class_colour
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    PrecisionCurves,
    ScoredImage,
    ThresholdScores,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation


@pytest.fixture
def evaluation() -> Evaluation:
    images = [ScoredImage(place, 10 + place, score) for place, score in enumerate([0.5, None, 1.0])]
    return Evaluation(
        metrics={"bbox": {"AP": 0.25}},
        headline={"bbox/AP": 0.25, "bbox/AP50": float("nan")},
        tables=[Table("")],
        classes=ClassScores(
            names=("cat", "dog"),
            scores={"box AP": [0.25, None]},
            counts=[3, 0],
            unit="objects",
            colours=("#ff0000", "#00ff00"),
        ),
        confusion=Confusion(
            names=("cat", "dog", "background"),
            counts=np.arange(9).reshape(3, 3),
            unit="objects",
            rule="at IoU 0.5",
        ),
        images=rank_images(images, lambda _: np.zeros((20, 3000, 3), np.uint8), rule="F1"),
        curves={
            "boxes": PrecisionCurves(
                means={"IoU 0.50": np.array([1.0, 0.5])},
                by_class=np.array([[1.0, 0.123456789], [np.nan, np.nan]]),
            )
        },
        thresholds=ThresholdScores(
            thresholds=np.array([0.3, 0.6]),
            num_right=np.array([2, 1]),
            num_found=np.array([4, 1]),
            num_objects=3,
            shown=0.3,
        ),
    )


def test_what_is_written_is_read_back(tmp_path: Path, evaluation: Evaluation) -> None:
    path = record_evaluation(tmp_path, 40, evaluation)
    assert path == tmp_path / "evaluations" / "step_00000040.json"
    record = read_record(path)
    assert record.step == 40
    assert record.metrics == evaluation.metrics
    assert record.headline == {"bbox/AP": 0.25, "bbox/AP50": None}
    assert list(record.classes.names) == ["cat", "dog"]
    assert record.classes.scores == {"box AP": [0.25, None]}
    assert record.confusion.counts.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert record.curves["boxes"].means["IoU 0.50"].tolist() == [1.0, 0.5]
    np.testing.assert_allclose(
        record.curves["boxes"].by_class, [[1, 0.12346], [np.nan, np.nan]], atol=1e-9
    )
    assert list(record.classes.colours) == ["#ff0000", "#00ff00"]
    assert record.thresholds is not None
    assert record.thresholds.num_right.tolist() == [2, 1]
    assert record.thresholds.f1.tolist() == [4 / 7, 0.5]
    assert (record.thresholds.best, record.thresholds.shown) == (0, 0.3)
    assert record.image_scores == [0.5, None, 1.0]
    assert [(picture.image_id, picture.score) for picture in record.best] == [(12, 1.0)]
    assert [picture.image_id for picture in record.worst] == [10]
    files = {file.relative_to(path.parent).as_posix() for file in path.parent.rglob("*")}
    assert files == {
        *("step_00000040", "step_00000040.json"),
        *("step_00000040/best_1.jpg", "step_00000040/worst_1.jpg"),
    }


def test_a_record_of_an_older_version_has_no_colours_and_no_thresholds(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    path = record_evaluation(tmp_path, 40, evaluation)
    content = json.loads(path.read_text())
    del content["thresholds"], content["classes"]["colours"]
    path.write_text(json.dumps(content))
    record = read_record(path)
    assert record.thresholds is None
    assert record.classes.colour_of(1) == as_hex(class_colour(1))


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("classes", "colours", ["#ff0000", "red;x:url(//a)"], "colours must be #rrggbb"),
        ("classes", "colours", ["#ff0000"], "colours must be 2, got 1"),
        ("thresholds", "num_right", [1], "thresholds must have a count of each kind"),
    ],
)
def test_colours_and_thresholds_that_do_not_fit_are_refused(
    tmp_path: Path, evaluation: Evaluation, part: str, name: str, value: list[Any], message: str
) -> None:
    path = record_evaluation(tmp_path, 40, evaluation)
    content = json.loads(path.read_text())
    content[part][name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_record(path)


def test_large_pictures_are_reduced(tmp_path: Path, evaluation: Evaluation) -> None:
    record = read_record(record_evaluation(tmp_path, 40, evaluation))
    assert Image.open(record.best[0].path).size == (1600, 11)


def test_records_of_later_steps_go(tmp_path: Path, evaluation: Evaluation) -> None:
    for step in (20, 40, 100):
        record_evaluation(tmp_path, step, evaluation)
    drop_later_records(tmp_path, 40)
    assert [path.stem for path in list_records(tmp_path)] == ["step_00000020", "step_00000040"]
    assert not (tmp_path / "evaluations" / "step_00000100").exists()
    drop_later_records(tmp_path / "none", 0)


def test_a_picture_that_cannot_be_drawn_leaves_no_record(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    broken = rank_images([ScoredImage(0, 1, 0.5)], _fail, rule="F1")
    with pytest.raises(OSError, match="disk"):
        record_evaluation(tmp_path, 1, replace(evaluation, images=broken))
    assert list_records(tmp_path) == []


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"step": 3}), '{"confusion": 1}'])
def test_a_damaged_record_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "step_00000003.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"step_00000003\.json cannot be read as the record"):
        read_record(path)


def _fail(_: ScoredImage) -> np.ndarray:
    raise OSError("the disk is full")
