"""What an evaluation of detection says: COCO's numbers, curves, confusions, the images' own F1."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from swin_dense.datasets.metrics.coco_eval import CocoEvaluator, PrecisionRecall
from swin_dense.datasets.metrics.detection_confusion import confusion_matrix
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    PrecisionCurves,
    ScoredImage,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation

SHOWN_SCORE = 0.3  # detections from here on are drawn and counted as confusions
BACKGROUND = "background"

_KINDS = {"bbox": "boxes", "segm": "masks"}
_RULE = (
    f"Boxes of score {SHOWN_SCORE} and above, matched at IoU 0.5: first within each class, as "
    "COCO's evaluation does it, then what is left over across the classes."
)
_IMAGE_RULE = f"F1 of the image's boxes at IoU 0.5 and score {SHOWN_SCORE}"


def score_detections(
    evaluator: CocoEvaluator, draw: Callable[[ScoredImage], Picture]
) -> Evaluation:
    """Everything that an evaluation gives.

    Args:
        evaluator: has the detections of all images.
        draw: puts the ground truth of an image beside its detections.
    """
    scores = evaluator.compute()
    metrics = {kind: dict(scores[kind]) for kind in _KINDS}
    per_class = scores["per_class"]
    names = tuple(per_class["bbox"])
    matrix, counts = confusion_matrix(
        evaluator.truth, evaluator.detections, score_threshold=SHOWN_SCORE
    )
    images = (
        ScoredImage(place, image_id, image.f1)
        for place, (image_id, image) in enumerate(counts.items())
    )
    return Evaluation(
        metrics=metrics,
        headline={
            f"{kind}/{name}": metrics[kind][name] for kind in _KINDS for name in ("AP", "AP50")
        },
        tables=[_score_table(metrics), _class_table(per_class)],
        classes=ClassScores(
            names=names,
            scores={
                "box AP": [_defined(value) for value in per_class["bbox"].values()],
                "mask AP": [_defined(value) for value in per_class["segm"].values()],
            },
            counts=matrix[:-1].sum(axis=1).tolist(),
            unit="objects",
        ),
        confusion=Confusion(
            names=(*names, BACKGROUND),
            counts=matrix,
            unit="objects",
            rule=_RULE,
            has_background=True,
        ),
        images=rank_images(images, draw, rule=_IMAGE_RULE),
        curves={
            _KINDS[kind]: _as_curves(table) for kind, table in evaluator.precision_recall().items()
        },
        write_results=evaluator.write_results,
    )


def _as_curves(table: PrecisionRecall) -> PrecisionCurves:
    """Means over the classes that have objects."""
    precision = np.where(table.precision < 0, np.nan, table.precision)  # (10, 101, K)
    present = precision[:, :, ~np.isnan(precision).all(axis=(0, 1))]
    at_iou = {"IoU 0.50": present[0], "IoU 0.75": present[5], "IoU 0.50 to 0.95": present.mean(0)}
    means = {
        name: values.mean(axis=-1) if values.size else np.full(len(table.recall), np.nan)
        for name, values in at_iou.items()
    }
    return PrecisionCurves(means=means, by_class=precision[0].T)


def _defined(score: float) -> float | None:
    """COCO's -1 is for a class without objects."""
    return None if score < 0 else score


def _score_table(metrics: dict[str, dict[str, float]]) -> Table:
    table = Table("", *_KINDS.values())
    for name in metrics["bbox"]:
        table.add_row(name, *(f"{metrics[kind][name]:.4f}" for kind in _KINDS))
    return table


def _class_table(per_class: Any) -> Table:
    table = Table("class", "box AP", "mask AP")
    for name in per_class["bbox"]:
        table.add_row(name, *(f"{per_class[kind][name]:.4f}" for kind in _KINDS))
    return table
