"""Everything an evaluation of detection gives: COCO's numbers, curves, confusions, F1 of images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from swin_dense.datasets.metrics.coco_backends import Kind
from swin_dense.datasets.metrics.coco_eval import KINDS, CocoEvaluator, PrecisionRecall
from swin_dense.datasets.metrics.detection_confusion import (
    DetectionConfusion,
    count_confusions,
)
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    PrecisionCurves,
    ScoredImage,
    ScoreTable,
    ThresholdScores,
    in_percent,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation

SHOWN_SCORE = 0.3  # detections from here on are drawn and counted as confusions
BACKGROUND = "background"
_THRESHOLDS = np.arange(1, 100) / 100

_COLUMNS = {"bbox": "boxes", "segm": "masks"}
_PREFIXES = {"bbox": "box ", "segm": "mask "}
_SCORE_WORDS = (
    "In percent. AP is the mean over IoU 0.50 to 0.95; s, m and l are objects under 32², under 96² "
    "and larger, px; AR is the recall with at most 1, 10 or 100 detections an image. A dash: no "
    "such object."
)
_RULE = (
    f"Boxes of score {SHOWN_SCORE} and above, matched at IoU 0.5: first within each class, as "
    "COCO's evaluation does it, then what is left over across the classes."
)
_IMAGE_RULE = f"F1 of the image's boxes at IoU 0.5 and score {SHOWN_SCORE}"


def score_detections(
    evaluator: CocoEvaluator,
    draw: Callable[[ScoredImage], Picture],
    *,
    kinds: Sequence[Kind] = KINDS,
) -> Evaluation:
    """Everything that an evaluation gives.

    Args:
        evaluator: has the detections of all images.
        draw: puts the ground truth of an image beside its detections.
        kinds: of the scores: "bbox", and "segm" where there are masks to find.
    """
    scores = evaluator.compute(kinds)
    metrics: dict[str, Any] = {kind: scores[kind] for kind in kinds}
    per_class = scores["per_class"]
    names = tuple(per_class["bbox"])
    confusion, counts = count_confusions(
        evaluator.truth, evaluator.detections, score_threshold=SHOWN_SCORE
    )
    matrix = confusion.matrix
    images = (
        ScoredImage(place, image_id, image.f1)
        for place, (image_id, image) in enumerate(counts.items())
    )
    return Evaluation(
        metrics=metrics,
        headline={
            f"{kind}/{name}": metrics[kind][name] for kind in kinds for name in ("AP", "AP50")
        },
        tables=[_score_table(metrics), _class_table(per_class)],
        classes=ClassScores(
            names=names,
            scores={
                f"{_PREFIXES[kind]}AP": [_defined(value) for value in per_class[kind].values()]
                for kind in kinds
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
            _COLUMNS[kind]: _as_curves(table)
            for kind, table in evaluator.precision_recall(kinds).items()
        },
        thresholds=_threshold_scores(confusion),
        write_results=evaluator.write_results,
    )


def _threshold_scores(confusion: DetectionConfusion) -> ThresholdScores:
    counts = confusion.count_from(_THRESHOLDS)
    return ThresholdScores(
        thresholds=_THRESHOLDS,
        num_right=counts.num_right,
        num_found=counts.num_found,
        num_objects=counts.num_objects,
        shown=SHOWN_SCORE,
    )


def detection_score_table(metrics: Mapping[str, Any]) -> ScoreTable:
    """COCO's 12 numbers, a column for boxes and, if there are some, one for masks."""
    kinds = [kind for kind in KINDS if kind in metrics]
    return ScoreTable(
        columns=tuple(_COLUMNS[kind] for kind in kinds),
        rows={name: [_defined(metrics[kind][name]) for kind in kinds] for name in metrics["bbox"]},
        prefixes=tuple(_PREFIXES[kind] for kind in kinds),
        words=_SCORE_WORDS,
    )


def detection_score_name(name: str) -> str:
    """`bbox/AP50` as `box AP50`."""
    kind, _, score = name.rpartition("/")
    return f"{_PREFIXES.get(kind, kind)}{score}"


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


def _score_table(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("percent", *(_COLUMNS[kind] for kind in metrics))
    for name in metrics["bbox"]:
        table.add_row(name, *(in_percent(scores[name]) for scores in metrics.values()))
    return table


def _class_table(per_class: Any) -> Table:
    table = Table("class", *(f"{_PREFIXES[kind]}AP" for kind in per_class), caption="percent")
    for name in per_class["bbox"]:
        table.add_row(name, *(in_percent(scores[name]) for scores in per_class.values()))
    return table
