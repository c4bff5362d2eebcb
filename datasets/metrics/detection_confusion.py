"""Which class a detector takes for which: a confusion matrix that agrees with COCO's metrics.

Within a class, detections are matched as COCO's evaluation does it (Lin et al. 2014; cocoeval.py):
by falling score, each to the free object of its class that it overlaps most. What is left over is
then matched in the same way whatever the class: those pairs are the confusions. So the diagonal
over the sum of its row is COCO's recall of that class at the score threshold, and over the sum of
its column COCO's precision.
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
    """What was found in one image; crowds and detections within them are not counted.

    Attributes:
        num_found: objects with a detection of their class.
        num_detections: detections from the score threshold on.
        num_objects: annotated objects.
    """

    num_found: int
    num_detections: int
    num_objects: int

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is nothing to find or wrong."""
        total = self.num_detections + self.num_objects
        return 2 * self.num_found / total if total else None


class DetectionConfusion:
    """Count detections against objects, image by image.

    Args:
        num_classes: classes K.
        score_threshold: detections that score less are not there.
        iou_threshold: overlap from which a detection can be of an object.

    Attributes:
        matrix: `(K + 1, K + 1)` int64; entry [i, j] counts the objects of class i that were taken
            for class j. In the last column are the missed objects, in the last row the detections
            of background; a second detection of one object is one too.
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

    def update(
        self,
        *,
        boxes: np.ndarray,
        labels: np.ndarray,
        is_crowd: np.ndarray,
        found_boxes: np.ndarray,
        found_labels: np.ndarray,
        found_scores: np.ndarray,
    ) -> ImageCounts:
        """Count one image.

        Args:
            boxes: `(G, 4)` x, y, width, height in px, of the objects.
            labels: `(G,)` in 0..K-1.
            is_crowd: `(G,)` bool; what lies in a crowd of its class is neither right nor wrong.
            found_boxes: `(N, 4)` x, y, width, height in px, of the detections.
            found_labels: `(N,)` in 0..K-1.
            found_scores: `(N,)`.
        """
        background = len(self.matrix) - 1
        order = np.argsort(-found_scores, kind="stable")
        order = order[found_scores[order] >= self._score_threshold]
        order = order[_places_within_class(found_labels[order]) < _MOST_DETECTIONS]
        taken_for = np.full(len(boxes), background)  # (G,)
        is_free = np.ones(len(order), bool)  # (N',) of the detections in order
        num_ignored = 0
        for label in np.unique(found_labels[order]):
            mine, objects = (
                np.flatnonzero(found_labels[order] == label),
                np.flatnonzero(labels == label),
            )
            ious = box_ious(found_boxes[order[mine]], boxes[objects], is_crowd[objects])
            matches = match_greedily(ious, is_crowd[objects], threshold=self._iou_threshold)
            is_free[mine] = matches < 0
            hit = objects[matches[matches >= 0]]
            taken_for[hit] = label
            num_ignored += int(is_crowd[hit].sum())
        num_found = int((taken_for[~is_crowd] != background).sum())

        rest = order[is_free]
        objects = np.flatnonzero((taken_for == background) & ~is_crowd)
        ious = box_ious(found_boxes[rest], boxes[objects], is_crowd[objects])
        matches = match_greedily(ious, is_crowd[objects], threshold=self._iou_threshold)
        taken_for[objects[matches[matches >= 0]]] = found_labels[rest[matches >= 0]]

        np.add.at(self.matrix, (labels[~is_crowd], taken_for[~is_crowd]), 1)
        false = found_labels[rest[matches < 0]]
        self.matrix[background] += np.bincount(false, minlength=background + 1)
        return ImageCounts(
            num_found=num_found,
            num_detections=len(order) - num_ignored,
            num_objects=int((~is_crowd).sum()),
        )


def confusion_matrix(
    truth: CocoFile,
    detections: Iterable[Mapping[str, Any]],
    *,
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> tuple[np.ndarray, dict[int, ImageCounts]]:
    """Count the boxes of all images.

    Args:
        truth: the annotations.
        detections: entries of a COCO results file: image_id, category_id, score, bbox.
        score_threshold: detections that score less are not there.
        iou_threshold: overlap from which a detection can be of an object.

    Returns:
        `DetectionConfusion.matrix`, classes in the order of `truth.categories`, and the counts of
        each image by its id.
    """
    places = {category.id: place for place, category in enumerate(truth.categories)}
    confusion = DetectionConfusion(
        len(places), score_threshold=score_threshold, iou_threshold=iou_threshold
    )
    objects: defaultdict[int, list[tuple[float, ...]]] = defaultdict(list)
    found: defaultdict[int, list[tuple[float, ...]]] = defaultdict(list)
    for annotation in truth.annotations:
        label = places[annotation.category_id]
        objects[annotation.image_id].append((*annotation.box, label, annotation.is_crowd))
    for entry in detections:
        label = places[entry["category_id"]]
        found[entry["image_id"]].append((*entry["bbox"], label, entry["score"]))
    counts = {}
    for image in truth.images:
        annotated = np.array(objects[image.id], np.float64).reshape(-1, 6)
        detected = np.array(found[image.id], np.float64).reshape(-1, 6)
        counts[image.id] = confusion.update(
            boxes=annotated[:, :4],
            labels=annotated[:, 4].astype(np.int64),
            is_crowd=annotated[:, 5].astype(bool),
            found_boxes=detected[:, :4],
            found_labels=detected[:, 4].astype(np.int64),
            found_scores=detected[:, 5],
        )
    return confusion.matrix, counts


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
    for place, row in enumerate(ious):
        for candidates in (is_free, is_crowd):
            overlap = np.where(candidates & (row >= least), row, -1.0)[::-1]
            best = len(row) - 1 - int(overlap.argmax())
            if overlap.max() >= 0:
                matches[place] = best
                break
        if matches[place] >= 0 and not is_crowd[matches[place]]:
            is_free[matches[place]] = False
    return matches


def box_ious(found: np.ndarray, boxes: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """Overlap of detections `(N, 4)` with objects `(G, 4)`, all x, y, width, height: `(N, G)`.

    With a crowd it is the share of the detection that lies in it. The operations are
    pycocotools', in its order, so that no pair falls on the other side of a threshold.
    """
    ends, object_ends = found[:, :2] + found[:, 2:], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(ends[:, None], object_ends) - np.maximum(found[:, None, :2], boxes[:, :2])
    sides = np.maximum(sides, 0)  # (N, G, 2)
    intersection = sides[..., 0] * sides[..., 1]
    area = (found[:, 2] * found[:, 3])[:, None]
    union = np.where(is_crowd, area, area + boxes[:, 2] * boxes[:, 3] - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _places_within_class(labels: np.ndarray) -> np.ndarray:
    """For each of `(N,)` labels, how many of the same stand before it."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - starts
    return places
