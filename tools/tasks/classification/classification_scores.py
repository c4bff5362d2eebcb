"""Everything an evaluation of classification gives: top-1, top-5, classes, confusions, images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from rich.table import Table

from swin_dense.datasets.metrics.classification_eval import ClassificationEvaluator
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    ScoredImage,
    ScoreTable,
    in_percent,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation

OTHERS = "all others"
_MOST_CLASSES = 1000  # of a whole confusion matrix
_MOST_CONFUSED = 200  # rows where there are more classes
_NAMES = {"top1": "top-1", "top5": "top-5", "mean_top1": "mean of the classes"}
_WORDS = (
    "In percent of the images. Top-5: the class is among the five highest scores. The mean is of "
    "the classes' top-1, however many images each has."
)
_IMAGE_RULE = "the score of the image's class"


def score_classification(
    evaluator: ClassificationEvaluator,
    class_names: Sequence[str],
    images: Sequence[ScoredImage],
    draw: Callable[[ScoredImage], Picture],
) -> Evaluation:
    """Everything that an evaluation gives.

    Args:
        evaluator: has the counts of all images.
        class_names: of its K classes.
        images: all of them with their scores.
        draw: puts the truth of an image beside its scores.
    """
    scores, names = evaluator.compute(), tuple(class_names)
    classes = ClassScores(
        names=names,
        scores={"top-1": scores["top1_classes"], "top-5": scores["top5_classes"]},
        counts=scores["images"],
        unit="images",
    )
    headline = {"top1": scores["top1"], "top5": scores["top5"]}
    return Evaluation(
        metrics=cast(dict[str, Any], dict(scores)),
        headline={k: float("nan") if value is None else value for k, value in headline.items()},
        tables=[_score_table(scores), *_class_tables(classes)],
        classes=classes,
        confusion=_confusion(evaluator, names),
        images=rank_images(images, draw, rule=_IMAGE_RULE),
    )


def classification_score_table(metrics: Mapping[str, Any]) -> ScoreTable:
    """Top-1, top-5 and the mean over the classes."""
    return ScoreTable(
        columns=("score",),
        rows={word: [metrics[name]] for name, word in _NAMES.items()},
        words=_WORDS,
    )


def classification_score_name(name: str) -> str:
    """`top1` as `top-1`, as it is published."""
    return _NAMES.get(name, name)


def _confusion(evaluator: ClassificationEvaluator, names: tuple[str, ...]) -> Confusion:
    """The whole matrix, or of many classes that of those that are confused the most."""
    rule = "Each image counts where its class and the class of its highest score meet."
    if len(names) <= _MOST_CLASSES:
        matrix = evaluator.matrix(range(len(names)))[:-1, :-1]
        return Confusion(names=names, counts=matrix, unit="images", rule=rule)
    labels = evaluator.most_confused(_MOST_CONFUSED)
    return Confusion(
        names=(*(names[label] for label in labels), OTHERS),
        counts=evaluator.matrix(labels),
        unit="images",
        rule=f"{rule} Of {len(names)} classes those {len(labels)} with the most wrong images.",
        has_background=True,
    )


def _score_table(scores: Mapping[str, Any]) -> Table:
    table = Table("percent", "score")
    for name, word in _NAMES.items():
        table.add_row(word, in_percent(scores[name]))
    table.add_row("images", f"{int(np.sum(scores['images'])):,}")
    return table


def _class_tables(classes: ClassScores) -> list[Table]:
    """A row for each class that has images."""
    table = Table("class", *(f"{name}, %" for name in classes.scores), "images")
    rows = zip(classes.names, *classes.scores.values(), classes.counts, strict=True)
    for name, *values, count in rows:
        if count:
            table.add_row(name, *map(in_percent, values), f"{count:,}")
    return [table] if table.row_count else []
