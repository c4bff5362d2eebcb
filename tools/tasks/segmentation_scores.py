"""Everything an evaluation of segmentation gives: IoUs, their matrix, mIoU of images."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator, SemanticScores
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

_RULE = "Pixels with a label; the IoUs come from this matrix."
_IMAGE_RULE = "mIoU of the image, over the classes in its labels or its prediction"

_MEANS = ("mIoU", "mAcc", "aAcc")  # over all classes

PackedLabels = tuple[tuple[int, int], bytes]  # size and deflated uint8 labels


def score_label_maps(
    evaluator: SemanticEvaluator,
    class_names: Sequence[str],
    images: Sequence[ScoredImage],
    draw: Callable[[ScoredImage], Picture],
    *,
    colours: np.ndarray | None = None,
) -> Evaluation:
    """Everything that an evaluation gives.

    Args:
        evaluator: has the counts of all images.
        class_names: of its K classes.
        images: all of them with their scores.
        draw: puts the ground truth of an image beside its prediction.
        colours: `(K, 3)` uint8 RGB, of the classes in the pictures; None: `class_colour`'s.
    """
    scores = evaluator.compute()
    headline: dict[str, float | None] = {
        "mIoU": scores["mIoU"],
        "mAcc": scores["mAcc"],
        "aAcc": scores["aAcc"],
    }
    found_and_labelled = zip(scores["area_intersect"], scores["area_label"], strict=True)
    accuracy = [found / labelled if labelled else None for found, labelled in found_and_labelled]
    names = tuple(class_names)
    return Evaluation(
        metrics=dict(scores),
        headline={
            name: float("nan") if value is None else value for name, value in headline.items()
        },
        tables=[_score_table(headline), _class_table(scores, accuracy, names)],
        classes=ClassScores(
            names=names,
            scores={"IoU": scores["IoU"], "accuracy": accuracy},
            counts=scores["area_label"],
            unit="pixels",
            colours=() if colours is None else tuple(as_hex(colour) for colour in colours),
        ),
        confusion=Confusion(
            names=names, counts=evaluator.matrix.cpu().numpy(), unit="pixels", rule=_RULE
        ),
        images=rank_images(images, draw, rule=_IMAGE_RULE),
    )


def segmentation_score_table(metrics: Mapping[str, Any]) -> ScoreTable:
    """The means in one column."""
    return ScoreTable(columns=("score",), rows={name: [metrics[name]] for name in _MEANS})


def pack_labels(labels: Tensor) -> PackedLabels:
    """Deflate a label map `(H, W)` of values in 0..255."""
    height, width = labels.shape
    return (height, width), zlib.compress(labels.to(torch.uint8).cpu().numpy().tobytes(), level=1)


def unpack_labels(packed: PackedLabels) -> Tensor:
    """Undo `pack_labels`: `(H, W)` uint8."""
    size, deflated = packed
    return torch.from_numpy(np.frombuffer(zlib.decompress(deflated), np.uint8).reshape(size).copy())


def _score_table(headline: dict[str, float | None]) -> Table:
    table = Table("", "percent")
    for name, value in headline.items():
        table.add_row(name, in_percent(value))
    return table


def _class_table(
    scores: SemanticScores, accuracy: Sequence[float | None], class_names: Sequence[str]
) -> Table:
    table = Table("class", "IoU, %", "accuracy, %", "labelled pixels")
    columns = (scores["IoU"], accuracy, scores["area_label"])
    for name, iou, share, labelled in zip(class_names, *columns, strict=True):
        table.add_row(name, in_percent(iou), in_percent(share), str(labelled))
    return table
