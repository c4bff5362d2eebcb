"""A detector's confusion matrix, in agreement with COCO's metrics.

Within a class, detections are matched as COCO's evaluation does it (Lin et al. 2014; cocoeval.py):
by falling score, each to the free object of its class that it overlaps most. The rest is then
matched in the same way across classes: those pairs are the confusions. So the diagonal over the sum
of its row is COCO's recall of that class at the score threshold, and over the sum of its column
COCO's precision.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from swin_dense.datasets.formats.coco_file import CocoFile

_MOST_DETECTIONS = 100  # of a class in an image; COCO's largest limit


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """Counts of one image; crowds and detections within them are left out.

    Attributes:
        num_matched: objects with a detection of their class.
        num_detections: detections from the score threshold on.
        num_objects: annotated objects.
    """

    num_matched: int
    num_detections: int
    num_objects: int

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without objects and detections."""
        total = self.num_detections + self.num_objects
        return 2 * self.num_matched / total if total else None


@dataclass(frozen=True, kw_only=True)
class ThresholdCounts:
    """Counts over images from score thresholds on; crowds and what lies in them are left out.

    Attributes:
        num_right: `(T,)` detections that have an object of their class.
        num_found: `(T,)` detections.
        num_objects: annotated objects.
    """

    num_right: np.ndarray
    num_found: np.ndarray
    num_objects: int


class DetectionConfusion:
    """Count detections against objects, image by image.

    Args:
        num_classes: classes K.
        score_threshold: least score of a detection that counts, 0..1.
        iou_threshold: least IoU of a match, 0..1.

    Attributes:
        matrix: `(K + 1, K + 1)` int64; entry [i, j] counts the objects of class i detected as
            class j. Row and column K are background: the last column counts the missed objects, the
            last row the false detections; a second detection of one object is one too.
    """

    def __init__(
        self, num_classes: int, *, score_threshold: float, iou_threshold: float = 0.5
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"iou_threshold must be in 0..1 and not 0, got {iou_threshold}")
        self.matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
        self._score_threshold = score_threshold
        self._iou_threshold = iou_threshold
        self._num_objects = 0
        self._scores: list[np.ndarray] = []  # of each image's detections, ignored ones left out
        self._is_right: list[np.ndarray] = []

    def update(
        self,
        *,
        gt_boxes: np.ndarray,
        gt_labels: np.ndarray,
        is_crowd: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
    ) -> ImageCounts:
        """Count one image.

        Args:
            gt_boxes: `(G, 4)` x, y, width, height in px, of the objects.
            gt_labels: `(G,)` in 0..K-1.
            is_crowd: `(G,)` bool; detections in a crowd of their class are neither right nor wrong.
            boxes: `(N, 4)` x, y, width, height in px, of the detections.
            labels: `(N,)` in 0..K-1.
            scores: `(N,)`.
        """
        background = len(self.matrix) - 1
        order = np.argsort(-scores, kind="stable")
        order = order[_places_within_class(labels[order]) < _MOST_DETECTIONS]
        matched = self._match_within_classes(
            boxes[order], labels[order], gt_boxes, gt_labels, is_crowd
        )
        is_ignored = matched >= 0
        is_ignored[is_ignored] = is_crowd[matched[is_ignored]]
        self._num_objects += int((~is_crowd).sum())
        self._scores.append(scores[order[~is_ignored]])
        self._is_right.append(matched[~is_ignored] >= 0)

        # A detection's match depends on better ones alone: these are as if the others were not.
        counts = scores[order] >= self._score_threshold
        order, matched, is_ignored = order[counts], matched[counts], is_ignored[counts]
        is_free = matched < 0  # (N',) of the detections in order
        detected_as = np.full(len(gt_boxes), background)  # (G,)
        detected_as[matched[~is_free]] = labels[order[~is_free]]
        num_matched = int((detected_as[~is_crowd] != background).sum())

        rest = order[is_free]
        objects = np.flatnonzero((detected_as == background) & ~is_crowd)
        ious = box_ious(boxes[rest], gt_boxes[objects], is_crowd[objects])
        matches = match_greedily(ious, is_crowd[objects], threshold=self._iou_threshold)
        detected_as[objects[matches[matches >= 0]]] = labels[rest[matches >= 0]]

        np.add.at(self.matrix, (gt_labels[~is_crowd], detected_as[~is_crowd]), 1)
        false = labels[rest[matches < 0]]
        self.matrix[background] += np.bincount(false, minlength=background + 1)
        return ImageCounts(
            num_matched=num_matched,
            num_detections=len(order) - int(is_ignored.sum()),
            num_objects=int((~is_crowd).sum()),
        )

    def count_from(self, thresholds: np.ndarray) -> "ThresholdCounts":
        """Counts over all images so far from each score threshold on, by class as in COCO.

        Args:
            thresholds: `(T,)`, 0..1.
        """
        scores = np.concatenate([np.zeros(0), *self._scores])
        is_right = np.concatenate([np.zeros(0, bool), *self._is_right])
        rising = np.sort(scores), np.sort(scores[is_right])
        num_found, num_right = (
            len(some) - np.searchsorted(some, thresholds, side="left") for some in rising
        )
        return ThresholdCounts(
            num_right=num_right, num_found=num_found, num_objects=self._num_objects
        )

    def _match_within_classes(
        self,
        boxes: np.ndarray,
        labels: np.ndarray,
        gt_boxes: np.ndarray,
        gt_labels: np.ndarray,
        is_crowd: np.ndarray,
    ) -> np.ndarray:
        """Index of each detection's object `(N,)`, -1 for none; detections by falling score."""
        matched = np.full(len(boxes), -1)
        for label in np.unique(gt_labels):
            of_label = np.flatnonzero(labels == label)
            objects = np.flatnonzero(gt_labels == label)
            ious = box_ious(boxes[of_label], gt_boxes[objects], is_crowd[objects])
            matches = match_greedily(ious, is_crowd[objects], threshold=self._iou_threshold)
            matched[of_label] = np.where(matches >= 0, objects[matches], -1)
        return matched


def count_confusions(
    truth: CocoFile,
    detections: Iterable[Mapping[str, Any]],
    *,
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> tuple[DetectionConfusion, dict[int, ImageCounts]]:
    """Count the boxes of all images.

    Args:
        truth: the annotations.
        detections: entries of a COCO results file: image_id, category_id, score, bbox.
        score_threshold: least score of a detection that counts, 0..1.
        iou_threshold: least IoU of a match, 0..1.

    Returns:
        The confusions, classes in the order of `truth.categories`, and the counts of each image
        by its id.
    """
    places = {category.id: place for place, category in enumerate(truth.categories)}
    confusion = DetectionConfusion(
        len(places), score_threshold=score_threshold, iou_threshold=iou_threshold
    )
    objects: defaultdict[int, list[tuple[float, ...]]] = defaultdict(list)
    detected: defaultdict[int, list[tuple[float, ...]]] = defaultdict(list)
    for annotation in truth.annotations:
        label = places[annotation.category_id]
        objects[annotation.image_id].append((*annotation.box, label, annotation.is_crowd))
    for entry in detections:
        label = places[entry["category_id"]]
        detected[entry["image_id"]].append((*entry["bbox"], label, entry["score"]))
    counts = {}
    for image in truth.images:
        gt = np.array(objects[image.id], np.float64).reshape(-1, 6)
        detections_of_image = np.array(detected[image.id], np.float64).reshape(-1, 6)
        counts[image.id] = confusion.update(
            gt_boxes=gt[:, :4],
            gt_labels=gt[:, 4].astype(np.int64),
            is_crowd=gt[:, 5].astype(bool),
            boxes=detections_of_image[:, :4],
            labels=detections_of_image[:, 4].astype(np.int64),
            scores=detections_of_image[:, 5],
        )
    return confusion, counts


def match_greedily(ious: np.ndarray, is_crowd: np.ndarray, *, threshold: float) -> np.ndarray:
    """Give each detection, the best first, the free object that it overlaps most.

    As cocoeval.py: of equal overlaps the last counts; a crowd takes any number of detections, but
    only those for which no object is free.

    Args:
        ious: `(N, G)`, detections by falling score.
        is_crowd: `(G,)` bool.
        threshold: least overlap.

    Returns:
        `(N,)` int64 index of the object; -1 for none.
    """
    least = min(threshold, 1 - 1e-10)
    is_free = ~is_crowd
    matches = np.full(len(ious), -1)
    if not ious.size:
        return matches
    for place in np.flatnonzero((ious >= least).any(axis=1)):
        row = ious[place]
        for candidates in (is_free, is_crowd):
            overlap = np.where(candidates & (row >= least), row, -1.0)[::-1]
            best = len(row) - 1 - int(overlap.argmax())
            if overlap.max() >= 0:
                matches[place] = best
                break
        if matches[place] >= 0 and not is_crowd[matches[place]]:
            is_free[matches[place]] = False
    return matches


def box_ious(boxes: np.ndarray, gt_boxes: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """IoU of detections `(N, 4)` with objects `(G, 4)`, all x, y, width, height: `(N, G)`.

    With a crowd it is the share of the detection that lies in it. The operations are
    pycocotools', in its order, so that no pair falls on the other side of a threshold.
    """
    ends, gt_ends = boxes[:, :2] + boxes[:, 2:], gt_boxes[:, :2] + gt_boxes[:, 2:]
    sides = np.minimum(ends[:, None], gt_ends) - np.maximum(boxes[:, None, :2], gt_boxes[:, :2])
    sides = np.maximum(sides, 0)  # (N, G, 2)
    intersection = sides[..., 0] * sides[..., 1]
    area = (boxes[:, 2] * boxes[:, 3])[:, None]
    union = np.where(is_crowd, area, area + gt_boxes[:, 2] * gt_boxes[:, 3] - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _places_within_class(labels: np.ndarray) -> np.ndarray:
    """For each of `(N,)` labels, how many of the same stand before it."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - starts
    return places
