"""Agreement of two runtimes: detections compared one by one, not place by place.

Rounding may decide which of two overlapping boxes suppresses the other, which of two equal scores
comes first, or whether a score is above its threshold. So detections are paired, and a few without
a partner are no difference; anything that is wrong shows in most of them.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

_BOX_LIMIT = 0.05  # px, a side of 1000 px and below
_SCORE_LIMIT = 1e-4
_MASK_LIMIT = 1e-3
_MOST_DIFFERENT = 0.05  # share of the detections; none of very few
_FEW = 10


def detection_differences(
    expected: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    *,
    score_threshold: float,
    tolerance: float = 1e-3,
) -> Iterator[tuple[str, str]]:
    """Compare the detections of one image.

    Args:
        expected: `boxes` `(N, 4)` px, `scores` and `labels` `(N,)`, and `masks` `(N, m, m)` where
            the model gives some.
        found: the same names.
        score_threshold: of the model; what hardly reaches it may be found or not.
        tolerance: 1e-3 stands for boxes to 0.05 px, scores to 1e-4 and masks to 1e-3; what is
            computed in fewer bits gets a multiple, and of a mask the mean counts.

    Yields:
        Name of an output that differs, and how.
    """
    for name, wanted in expected.items():
        got = found[name]
        if wanted.shape[1:] != got.shape[1:] or len(got) != len(found["boxes"]):
            yield name, f"shape {got.shape} instead of {wanted.shape}"
            return
        if not np.isfinite(got).all():
            yield name, "values that are not finite"
            return
    factor = tolerance / 1e-3
    largest = max(1000.0, float(np.abs(expected["boxes"]).max(initial=0.0)))
    limits = {
        "boxes": _BOX_LIMIT * factor * largest / 1000,
        "scores": _SCORE_LIMIT * factor,
        "masks": _MASK_LIMIT * factor,
    }
    pairs = pair_detections(expected, found, near=20 * limits["boxes"])
    for lonely, where, name in (
        (_without_partner(expected, [i for i, _ in pairs]), expected, "not found"),
        (_without_partner(found, [j for _, j in pairs]), found, "not expected"),
    ):
        sure = lonely[where["scores"][lonely] > score_threshold + 10 * limits["scores"]]
        if len(sure) > _allowed(len(where["scores"])):
            best = float(where["scores"][sure].max())
            yield "boxes", f"{len(sure)} detections {name}, the best with a score of {best:.3f}"
            return
    ours, theirs = (list(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    for name, limit in limits.items():
        if name not in expected or not pairs:
            continue
        apart = np.abs(expected[name][ours].astype(np.float64) - found[name][theirs])
        apart = apart.reshape(len(pairs), -1)  # (n, values of a detection)
        # Fewer bits move the edge of a mask, where a value may be anything.
        in_mean = name == "masks" and factor > 1
        apart = apart.mean(axis=1) if in_mean else apart.max(axis=1)
        differs = apart > limit
        if differs.sum() > _allowed(len(pairs)):
            yield name, f"differs up to {apart.max():.2g}, over {limit:.2g}"


def pair_detections(
    expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], *, near: float
) -> list[tuple[int, int]]:
    """Places of detections of one label whose boxes are next to each other, best first."""
    free = np.ones(len(found["boxes"]), dtype=bool)
    pairs = []
    for place, (box, label) in enumerate(zip(expected["boxes"], expected["labels"], strict=True)):
        distances = np.abs(found["boxes"] - box).max(axis=1, initial=0.0)
        distances[~free | (found["labels"] != label)] = np.inf
        if len(distances) and distances.min() <= near:
            nearest = int(distances.argmin())
            free[nearest] = False
            pairs.append((place, nearest))
    return pairs


def _allowed(count: int) -> int:
    """Number of some detections that may differ."""
    return 0 if count < _FEW else math.ceil(_MOST_DIFFERENT * count)


def _without_partner(detections: Mapping[str, np.ndarray], paired: list[int]) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(len(detections["scores"])), paired)
