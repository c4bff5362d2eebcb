"""Folders of runs with made-up logs and evaluations, for the tests of reports."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from swin_dense.tools.runs.evaluations import record_evaluation
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    PrecisionCurves,
    ScoredImage,
    ThresholdScores,
    rank_images,
)
from swin_dense.tools.tasks.table import find_task
from swin_dense.tools.tasks.task import Evaluation

NAMES = ("cat", "dog", "<cow> & calf")
_LOSSES = {"loss_box": 1.0}
COCO = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def detection_evaluation(score: float = 0.25, *, names: Sequence[str] = NAMES) -> Evaluation:
    """Numbers that follow from one score; the last class has no object."""
    count = len(names)
    numbers = dict.fromkeys(COCO, score) | {"APl": -1.0}
    per_class = [score + 0.5 * place / count for place in range(count - 1)]
    curve = np.linspace(1, score, 101)
    by_class = np.stack([curve * (0.5 + 0.5 * place / count) for place in range(count)])
    by_class[-1] = np.nan
    matrix = 2 * np.eye(count + 1, dtype=np.int64)
    matrix[0, 1] = 5
    matrix[:, -1] = 1
    matrix[-1, -1] = 0
    curves = PrecisionCurves(
        means={"IoU 0.50": curve, "IoU 0.75": curve / 2, "IoU 0.50 to 0.95": curve / 3},
        by_class=by_class,
    )
    return Evaluation(
        metrics={"bbox": numbers, "segm": {name: value / 2 for name, value in numbers.items()}},
        headline={"bbox/AP": score, "segm/AP": score / 2},
        tables=[Table("")],
        classes=ClassScores(
            names=tuple(names),
            scores={"box AP": [*per_class, None], "mask AP": [*per_class, None]},
            counts=[*range(1, count), 0],
            unit="objects",
        ),
        confusion=Confusion(
            names=(*names, "background"),
            counts=matrix,
            unit="objects",
            rule="At IoU 0.5.",
            has_background=True,
        ),
        images=rank_images(_images(), _draw, rule="F1 at IoU 0.5"),
        curves={"boxes": curves, "masks": curves},
        thresholds=ThresholdScores(
            thresholds=np.array([0.3, 0.6, 0.9]),
            num_right=np.array([5, 4, 1]),
            num_found=np.array([10, 4, 1]),
            num_objects=8,
            shown=0.3,
        ),
    )


def segmentation_evaluation(score: float = 0.25, *, names: Sequence[str] = NAMES) -> Evaluation:
    """Numbers that follow from one score."""
    count = len(names)
    matrix = 20_000 * np.eye(count, dtype=np.int64) + 3
    return Evaluation(
        metrics={"mIoU": score, "mAcc": score / 2, "aAcc": 0.5, "IoU": [score] * count},
        headline={"mIoU": score, "mAcc": score / 2, "aAcc": 0.5},
        tables=[Table("")],
        classes=ClassScores(
            names=tuple(names),
            scores={"IoU": [score] * count, "accuracy": [None] * count},
            counts=matrix.sum(axis=1).tolist(),
            unit="pixels",
        ),
        confusion=Confusion(names=tuple(names), counts=matrix, unit="pixels", rule="All pixels."),
        images=rank_images(_images(), _draw, rule="mIoU of the image"),
    )


def write_run(
    run: Path,
    *evaluations: Evaluation,
    published: Sequence[tuple[str, float]] = (),
    lr: float = 0.1,
    losses: Mapping[str, float] = _LOSSES,
    names_task: bool = True,
) -> Path:
    """A folder as a training leaves it, with an evaluation every 10 steps.

    Args:
        run: the folder.
        evaluations: all of one task.
        published: scores of the recipe.
        lr: learning rate.
        losses: parts of the loss at step 1.
        names_task: False: as version 0.1 wrote it.
    """
    run.mkdir(parents=True)
    task = "segmentation" if any("mIoU" in made.metrics for made in evaluations) else "detection"
    data = asdict(find_task(task).data_type()) | {"root": "data"}
    recipe: dict[str, Any] = {
        "name": "tiny_recipe",
        "source": "a table",
        "published": published,
        "data": data | {"train_split": "train", "val_split": "val"},
        "batch_size": 2,
        "steps": 100,
        "optimizer": {"lr": lr},
        "seed": 0,
    }
    if names_task:
        recipe["task"] = task
    (run / "recipe.json").write_text(json.dumps(recipe))
    with (run / "log.jsonl").open("w") as log:
        for step in range(1, 10 * len(evaluations) + 1):
            line = {"step": step, "loss": 2 / step, "rate": lr}
            line |= {name: value / step for name, value in losses.items()}
            line |= {"images_per_second": 8.0, "memory_mib": 512.0}
            log.write(json.dumps(line) + "\n")
    for place, evaluation in enumerate(evaluations, start=1):
        record_evaluation(run, 10 * place, evaluation)
    return run


def _images() -> list[ScoredImage]:
    return [ScoredImage(place, place, place / 12) for place in range(12)]


def _draw(image: ScoredImage) -> Picture:
    return np.full((30, 80, 3), 20 * image.place, np.uint8)
