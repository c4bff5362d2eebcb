"""Records of evaluations in a run's folder: a report can be made from the folder alone.

    evaluations/step_00001000.json          scores, curves, confusion matrix, scores of the images
    evaluations/step_00001000/best_1.jpg    pictures of the best and the worst images

The pictures are written first: where the JSON file stands, everything it names is there.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.tools.files import atomic_write, finite_or_none
from swin_dense.tools.runs.checkpoints import STEP_NAME, step_name
from swin_dense.tools.tasks.drawing import reduce_picture, save_picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    Example,
    PrecisionCurves,
    ThresholdScores,
)
from swin_dense.tools.tasks.task import Evaluation

RECORDS = "evaluations"
_LONGEST_SIDE = 1600  # px of a kept picture
_DIGITS = 5  # of curves
_COLOUR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True, kw_only=True)
class KeptPicture:
    """A picture of an image with its score."""

    image_id: int | str
    score: float
    path: Path


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """An evaluation read from its record.

    Attributes:
        step: steps that were done.
        metrics: the machine-readable scores.
        headline: the few scores that stand for all, by name; None where not defined.
        classes: the scores of each class.
        curves: precision over recall, by what was found.
        confusion: which class was taken for which.
        thresholds: what each score threshold gives; None where results have no scores, or where
            an older version wrote the record.
        image_rule: what the score of an image is.
        image_scores: of every image; None where there is nothing to find or wrong.
        best: pictures, the best first.
        worst: pictures, the worst first.
    """

    step: int
    metrics: dict[str, Any]
    headline: dict[str, float | None]
    classes: ClassScores
    curves: dict[str, PrecisionCurves]
    confusion: Confusion
    thresholds: ThresholdScores | None
    image_rule: str
    image_scores: list[float | None]
    best: list[KeptPicture]
    worst: list[KeptPicture]


def record_evaluation(run: Path, step: int, evaluation: Evaluation) -> Path:
    """Write the record of an evaluation into the run's folder.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = run / RECORDS / step_name(step)
    folder.mkdir(parents=True, exist_ok=True)
    images = evaluation.images
    content = {
        "step": step,
        "metrics": evaluation.metrics,
        "headline": evaluation.headline,
        "classes": {
            "names": evaluation.classes.names,
            "scores": dict(evaluation.classes.scores),
            "counts": list(evaluation.classes.counts),
            "unit": evaluation.classes.unit,
            "colours": list(evaluation.classes.colours),
        },
        "curves": {
            found: {
                "means": {at: _as_list(mean) for at, mean in curves.means.items()},
                "by_class": [_as_list(curve) for curve in curves.by_class],
            }
            for found, curves in evaluation.curves.items()
        },
        "confusion": {
            "names": evaluation.confusion.names,
            "counts": evaluation.confusion.counts.tolist(),
            "unit": evaluation.confusion.unit,
            "rule": evaluation.confusion.rule,
            "has_background": evaluation.confusion.has_background,
        },
        "thresholds": _thresholds_as_lists(evaluation.thresholds),
        "images": {
            "rule": images.rule,
            "scores": [(image.image_id, image.score) for image in images.images],
            "best": _write_pictures(folder, "best", images.best),
            "worst": _write_pictures(folder, "worst", images.worst),
        },
    }
    path = folder.with_suffix(".json")
    atomic_write(path, json.dumps(finite_or_none(content), separators=(",", ":")) + "\n")
    return path


def list_records(run: Path) -> list[Path]:
    """Files of the run's evaluations, by rising step."""
    return sorted(path for path in (run / RECORDS).glob("*.json") if STEP_NAME.fullmatch(path.stem))


def read_record(path: Path) -> EvaluationRecord:
    """Read what `record_evaluation` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        confusion, images = content["confusion"], content["images"]
        return EvaluationRecord(
            step=content["step"],
            metrics=content["metrics"],
            headline=content["headline"],
            classes=_read_classes(content["classes"]),
            curves={found: _read_curves(curves) for found, curves in content["curves"].items()},
            confusion=_read_confusion(confusion),
            thresholds=_read_thresholds(content.get("thresholds")),
            image_rule=images["rule"],
            image_scores=[score for _, score in images["scores"]],
            best=_read_pictures(path, images["best"]),
            worst=_read_pictures(path, images["worst"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read as the record of an evaluation: {type(error).__name__} {error}"
        ) from error


def drop_later_records(run: Path, step: int) -> None:
    """Delete the records of evaluations after `step`; they are of a run that was cut off."""
    for path in list_records(run):
        if path.stem > step_name(step):
            path.unlink()
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _write_pictures(folder: Path, kind: str, examples: Sequence[Example]) -> list[dict[str, Any]]:
    written = []
    for place, example in enumerate(examples, start=1):
        path = folder / f"{kind}_{place}.jpg"
        save_picture(reduce_picture(example.draw(), _LONGEST_SIDE), path)
        written.append(
            {
                "image_id": example.image.image_id,
                "score": example.image.score,
                "picture": f"{folder.name}/{path.name}",
            }
        )
    return written


def _read_pictures(path: Path, written: Sequence[Mapping[str, Any]]) -> list[KeptPicture]:
    return [
        KeptPicture(
            image_id=entry["image_id"],
            score=float(entry["score"]),
            path=path.parent / entry["picture"],
        )
        for entry in written
    ]


def _read_classes(content: Mapping[str, Any]) -> ClassScores:
    classes = ClassScores(**content)
    colours = classes.colours
    if colours and len(colours) != len(classes.names):
        raise ValueError(f"colours must be {len(classes.names)}, got {len(colours)}")
    for colour in colours:
        if not _COLOUR.fullmatch(colour):
            raise ValueError(f"colours must be #rrggbb, got {colour!r}")
    return classes


def _read_confusion(content: Mapping[str, Any]) -> Confusion:
    # Version 0.1 did not store it; there the boxes, which are objects, had a background.
    has_background = content.get("has_background", content["unit"] == "objects")
    counts = np.array(content["counts"], np.int64)
    return Confusion(**{**content, "counts": counts, "has_background": has_background})


def _thresholds_as_lists(scores: ThresholdScores | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    return {
        "thresholds": _as_list(scores.thresholds),
        "num_right": scores.num_right.tolist(),
        "num_found": scores.num_found.tolist(),
        "num_objects": scores.num_objects,
        "shown": scores.shown,
    }


def _read_thresholds(content: Mapping[str, Any] | None) -> ThresholdScores | None:
    if content is None:
        return None
    scores = ThresholdScores(
        thresholds=np.array(content["thresholds"], np.float64),
        num_right=np.array(content["num_right"], np.int64),
        num_found=np.array(content["num_found"], np.int64),
        num_objects=int(content["num_objects"]),
        shown=float(content["shown"]),
    )
    lengths = {len(scores.thresholds), len(scores.num_right), len(scores.num_found)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"thresholds must have a count of each kind, got {sorted(lengths)}")
    return scores


def _read_curves(content: Mapping[str, Any]) -> PrecisionCurves:
    by_class = [np.array(curve, np.float64) for curve in content["by_class"]]
    return PrecisionCurves(
        means={at: np.array(mean, np.float64) for at, mean in content["means"].items()},
        by_class=np.stack(by_class) if by_class else np.zeros((0, 0)),
    )


def _as_list(curve: np.ndarray) -> list[float]:
    """Rounded: a report cannot show more."""
    return [round(value, _DIGITS) for value in curve.tolist()]
