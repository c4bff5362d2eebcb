"""Everything an evaluation of panoptic segmentation gives: PQ, SQ and RQ, their classes, images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from swin_dense.datasets.metrics.panoptic_eval import PanopticCounts, PanopticEvaluator
from swin_dense.tools.tasks.drawing import Picture, as_hex
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    ScoredImage,
    ScoreTable,
    in_percent,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation

BACKGROUND = "no segment"
_NAMES = ("PQ", "SQ", "RQ")
_GROUPS = {"": "all", "_things": "things", "_stuff": "stuff"}
_WORDS = (
    "In percent. PQ, panoptic quality, is the share of segments found at an IoU above 0.5 (RQ) "
    "times their mean IoU (SQ), for each class; means over the classes. A dash: no such segment."
)
_RULE = (
    "Segments matched at an IoU above 0.5, first within each class, then what is left over across "
    "the classes; crowds and what lies on void are not counted."
)
_IMAGE_RULE = "PQ of the image's segments, all classes together"


def add_confusions(matrix: np.ndarray, counts: PanopticCounts) -> None:
    """Add an image to a matrix `(K + 1, K + 1)` of ground truth and found labels, in place."""
    background = len(matrix) - 1
    missed = {segment.id: segment.label for segment in counts.missed}
    wrong = {segment.id: segment.label for segment in counts.wrong}
    for match in counts.matches:
        matrix[match.gt.label, match.gt.label] += 1
    for gt_id, found_id in counts.confused:
        if gt_id in missed and found_id in wrong:
            matrix[missed.pop(gt_id), wrong.pop(found_id)] += 1
    for label in missed.values():
        matrix[label, background] += 1
    for label in wrong.values():
        matrix[background, label] += 1


def score_panoptic(
    evaluator: PanopticEvaluator,
    matrix: np.ndarray,
    class_names: Sequence[str],
    images: Sequence[ScoredImage],
    draw: Callable[[ScoredImage], Picture],
    *,
    colours: np.ndarray,
) -> Evaluation:
    """Everything that an evaluation gives.

    Args:
        evaluator: has the counts of all images.
        matrix: of `add_confusions`, of all images.
        class_names: of its K classes.
        images: all of them with their scores.
        draw: puts the ground truth of an image beside its prediction.
        colours: `(K, 3)` uint8 RGB.
    """
    scores, names = evaluator.compute(), tuple(class_names)
    counts = [found + missed for found, missed in zip(scores["TP"], scores["FN"], strict=True)]
    headline = {name: scores[name] for name in ("PQ", "PQ_things", "PQ_stuff", "SQ", "RQ")}
    return Evaluation(
        metrics=scores,
        headline={k: float("nan") if value is None else value for k, value in headline.items()},
        tables=[_score_table(scores), _class_table(scores, names, counts)],
        classes=ClassScores(
            names=names,
            scores={name: scores[f"{name}_classes"] for name in _NAMES},
            counts=counts,
            unit="segments",
            colours=tuple(as_hex(colour) for colour in colours),
        ),
        confusion=Confusion(
            names=(*names, BACKGROUND),
            counts=matrix,
            unit="segments",
            rule=_RULE,
            has_background=True,
        ),
        images=rank_images(images, draw, rule=_IMAGE_RULE),
    )


def panoptic_score_table(metrics: Mapping[str, Any]) -> ScoreTable:
    """PQ, SQ and RQ of all classes, of things and of stuff."""
    return ScoreTable(
        columns=tuple(_GROUPS.values()),
        rows={name: [metrics[name + suffix] for suffix in _GROUPS] for name in _NAMES},
        prefixes=("", "things ", "stuff "),
        words=_WORDS,
    )


def panoptic_score_name(name: str) -> str:
    """`PQ_things` as `PQ of things`."""
    return name.replace("_", " of ")


def _score_table(scores: Mapping[str, Any]) -> Table:
    table = Table("percent", *_GROUPS.values())
    for name in _NAMES:
        table.add_row(name, *(in_percent(scores[name + suffix]) for suffix in _GROUPS))
    return table


def _class_table(scores: Mapping[str, Any], names: Sequence[str], counts: Sequence[int]) -> Table:
    table = Table("class", *(f"{name}, %" for name in _NAMES), "segments")
    columns = [scores[f"{name}_classes"] for name in _NAMES]
    for name, *values, count in zip(names, *columns, counts, strict=True):
        table.add_row(name, *map(in_percent, values), str(count))
    return table
