"""Panoptic quality from counts over the whole data set.

Kirillov et al. 2019, "Panoptic Segmentation", section 4; crowds and void by the rules of the
official evaluator (cocodataset/panopticapi), areas included: those of the ground truth are the
annotated ones, those of the prediction are counted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swin_dense.datasets.samples import Segment

VOID = 0  # id of the pixels that belong to no segment
_MIN_IOU = 0.5  # a pair above it is the only one of both its segments
_MAX_UNCOUNTED = 0.5  # share of a segment on void and crowds, above which it is not wrong
_FACTOR = 1 << 32


class SegmentMap(NamedTuple):
    """A panoptic segmentation of one image.

    Attributes:
        ids: `(H, W)` integers; 0 is void.
        segments: one for each other id.
    """

    ids: NDArray[Any]
    segments: Sequence[Segment]


class Match(NamedTuple):
    """A ground truth segment and the predicted one that was found for it."""

    gt: Segment
    found: Segment
    iou: float


class PanopticCounts(NamedTuple):
    """Counts that one image adds.

    Attributes:
        matches: pairs of one class with an IoU above 1/2.
        missed: ground truth segments without a match, without crowds.
        wrong: predicted segments without a match that are not mostly on void or crowds.
        confused: pairs of ids of a missed and a wrong segment that would match but for their class.
    """

    matches: list[Match]
    missed: list[Segment]
    wrong: list[Segment]
    confused: list[tuple[int, int]]


class PanopticEvaluator:
    """Count predictions against ground truth, image by image.

    Args:
        is_thing: for each of the K classes; the others are stuff.

    Attributes:
        iou: `(K,)` float64, sum of the IoUs of the matches.
        counts: `(3, K)` int64, matches, wrong and missed segments (TP, FP, FN).
    """

    def __init__(self, is_thing: Sequence[bool]) -> None:
        if not len(is_thing):
            raise ValueError("is_thing must have an entry for each class, got none")
        self.is_thing = tuple(bool(value) for value in is_thing)
        self.iou = np.zeros(len(is_thing), np.float64)
        self.counts = np.zeros((3, len(is_thing)), np.int64)

    def update(self, gt: SegmentMap, found: SegmentMap, *, where: object = "") -> PanopticCounts:
        """Count one image.

        Args:
            gt: with areas as annotated, which may differ from those in the map.
            found: of the same size; every id of the map must have its segment and be somewhere.
            where: the image, for messages.

        Raises:
            ValueError: sizes differ, a label is out of range, or ids of the map and of the
                segments are not the same.
        """
        counts = count_image(gt, found, num_classes=len(self.is_thing), where=where)
        for match in counts.matches:
            self.iou[match.gt.label] += match.iou
            self.counts[0, match.gt.label] += 1
        for row, segments in ((1, counts.wrong), (2, counts.missed)):
            for segment in segments:
                self.counts[row, segment.label] += 1
        return counts

    def merge(self, iou: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Add the counts of another process on its part of the images.

        Raises:
            ValueError: they are of another number of classes.
        """
        if iou.shape != self.iou.shape or counts.shape != self.counts.shape:
            raise ValueError(
                f"counts must be of {len(self.is_thing)} classes, got {iou.shape}, {counts.shape}"
            )
        self.iou += iou
        self.counts += counts

    def compute(self) -> dict[str, Any]:
        """Scores of all images counted so far, fractions; None where no segment counts.

        `PQ`, `SQ`, `RQ` over all classes that occur in ground truth or predictions, the same with
        `_things` and `_stuff`; with `_classes` of each class; `TP`, `FP`, `FN`: its segments that
        are matched, wrong and missed.
        """
        matched, wrong, missed = self.counts
        denominator = matched + wrong / 2 + missed / 2
        occurs = denominator > 0
        divisor = np.where(occurs, denominator, 1.0)
        by_class = {
            "PQ": self.iou / divisor,
            "SQ": self.iou / np.maximum(matched, 1),
            "RQ": matched / divisor,
        }
        things = np.array(self.is_thing)
        groups = {"": occurs, "_things": occurs & things, "_stuff": occurs & ~things}
        scores: dict[str, Any] = {
            name + suffix: float(values[group].mean()) if group.any() else None
            for suffix, group in groups.items()
            for name, values in by_class.items()
        }
        for name, values in by_class.items():
            pairs = zip(values.tolist(), occurs.tolist(), strict=True)
            scores[f"{name}_classes"] = [value if there else None for value, there in pairs]
        counts = {"TP": matched.tolist(), "FP": wrong.tolist(), "FN": missed.tolist()}
        return scores | counts


def image_quality(counts: PanopticCounts) -> float | None:
    """PQ of one image with all its segments as of one class; None where there is nothing."""
    denominator = len(counts.matches) + (len(counts.wrong) + len(counts.missed)) / 2
    return sum(match.iou for match in counts.matches) / denominator if denominator else None


def count_image(
    gt: SegmentMap, found: SegmentMap, *, num_classes: int, where: object = ""
) -> PanopticCounts:
    """Match the segments of one image; see `PanopticEvaluator.update`."""
    if gt.ids.shape != found.ids.shape:
        raise ValueError(
            f"prediction and ground truth must have one size, got {tuple(found.ids.shape)} and "
            f"{tuple(gt.ids.shape)} px{_in(where)}"
        )
    overlaps = _count_overlaps(gt.ids, found.ids)
    found_areas: dict[int, int] = {}
    for (_, found_id), area in overlaps.items():
        found_areas[found_id] = found_areas.get(found_id, 0) + area
    gt_segments = _by_id(gt.segments, num_classes, f"ground truth{_in(where)}")
    found_segments = _by_id(found.segments, num_classes, f"prediction{_in(where)}")
    _check_ids(found_areas.keys() - {VOID}, found_segments.keys(), where)

    matches: list[Match] = []
    confused: list[tuple[int, int]] = []
    for (gt_id, found_id), shared in overlaps.items():
        one, other = gt_segments.get(gt_id), found_segments.get(found_id)
        if one is None or other is None or one.is_crowd:
            continue
        on_void = overlaps.get((VOID, found_id), 0)
        union = found_areas[found_id] + one.area - shared - on_void
        iou = shared / union if union > 0 else 0.0
        if iou > _MIN_IOU and one.label == other.label:
            matches.append(Match(one, other, iou))
        elif iou > _MIN_IOU:
            confused.append((gt_id, found_id))
    matched = {match.gt.id for match in matches}
    missed = [s for s in gt.segments if not s.is_crowd and s.id not in matched]

    # As the official evaluator: of several crowds of a class the last counts.
    crowds = {segment.label: segment.id for segment in gt.segments if segment.is_crowd}
    hits = {match.found.id for match in matches}
    wrong = []
    for segment in found.segments:
        if segment.id in hits:
            continue
        uncounted = overlaps.get((VOID, segment.id), 0)
        if segment.label in crowds:
            uncounted += overlaps.get((crowds[segment.label], segment.id), 0)
        if uncounted / found_areas[segment.id] <= _MAX_UNCOUNTED:
            wrong.append(segment)
    open_ids = {s.id for s in missed}, {s.id for s in wrong}
    confused = [(a, b) for a, b in confused if a in open_ids[0] and b in open_ids[1]]
    return PanopticCounts(matches, missed, wrong, confused)


def _count_overlaps(gt: NDArray[Any], found: NDArray[Any]) -> dict[tuple[int, int], int]:
    """Pixels of each pair of ids that occurs."""
    pairs = gt.astype(np.int64) * _FACTOR + found.astype(np.int64)
    values, counts = np.unique(pairs, return_counts=True)
    return {
        (value // _FACTOR, value % _FACTOR): count
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    }


def _by_id(segments: Sequence[Segment], num_classes: int, what: str) -> dict[int, Segment]:
    by_id = {segment.id: segment for segment in segments}
    if len(by_id) < len(segments) or VOID in by_id:
        ids = sorted(segment.id for segment in segments)
        raise ValueError(f"ids of segments must differ and be above 0, got {ids} in {what}")
    for segment in segments:
        if not 0 <= segment.label < num_classes:
            raise ValueError(
                f"labels must be in 0..{num_classes - 1}, got {segment.label} of segment "
                f"{segment.id} in {what}"
            )
    return by_id


def _check_ids(in_map: Any, listed: Any, where: object) -> None:
    """Every id of a prediction is in its map and among its segments."""
    for kind, ids in (
        ("its map has ids that are no segment's", in_map - listed),
        ("its map lacks segments", listed - in_map),
    ):
        if ids:
            raise ValueError(
                f"a prediction must have the same ids in map and segments, got one{_in(where)} "
                f"where {kind}: {sorted(ids)[:8]}"
            )


def _in(where: object) -> str:
    return f" of image {where}" if where != "" else ""
