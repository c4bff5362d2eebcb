"""COCO's metrics for boxes and masks, from results as the models give them."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.coco_entries import finite_number
from swin_dense.datasets.formats.coco_file import check_run_lengths, read_coco
from swin_dense.datasets.masks import compress_masks
from swin_dense.datasets.metrics.coco_backends import (
    BackendName,
    CocoTables,
    Kind,
    choose_backend,
    match_detections,
)
from swin_dense.datasets.samples import Size

METRIC_NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
KINDS: tuple[Kind, ...] = ("bbox", "segm")
_ABSENT = -1.0


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Precision over recall: IoU 0.5:0.95, objects of every size, 100 detections an image.

    Attributes:
        recall: `(101,)` float64, 0..1 in steps of 0.01.
        precision: `(10, 101, K)` float64 by IoU threshold, recall and class (in the order of the
            category ids): the best precision at this recall or above; -1 where a class has no
            object.
    """

    recall: np.ndarray
    precision: np.ndarray


class CocoEvaluator:
    """Collects detections image by image and computes COCO's 12 numbers for boxes and for masks.

    Masks are compressed as they come, so memory stays small. Images without detections count. The
    ground truth is the whole annotation file, with the objects that training leaves out; an object
    without a usable mask is none to find for masks, and detections of its class in its box are then
    neither right nor wrong. A detection with box and mask counts as
    small, medium or large by its box, for masks too, as pycocotools does for a results file with
    both. (mmdet's report goes by the mask, which moves APs, APm and APl of masks by up to 0.004.)

    Several processes: each updates an evaluator with its share of the images, then one `merge`s
    `detections` and `seen` of the others.

    Attributes:
        detections: all so far, as entries of a COCO results file.
        seen: ids of the images that were updated.
        truth: the annotations.
        backend: the package that matches, "pycocotools" or "faster-coco-eval".
    """

    def __init__(
        self,
        truth: str | Path | CocoDetection,
        *,
        category_ids: Sequence[int] | None = None,
        backend: BackendName = "auto",
    ) -> None:
        """Read and check the annotations.

        Args:
            truth: the annotation file, or a data set made from it.
            category_ids: the id of each label the model gives; default: the file's, rising.
            backend: "pycocotools"; "faster-coco-eval", which gives the same numbers sooner; or
                "auto": the faster one where it is installed.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file has faults, all named; or `category_ids` holds an id that the file
                does not; or the backend is unknown or not installed.
        """
        self.backend = choose_backend(backend)
        if isinstance(truth, CocoDetection):
            self.truth = truth.read_annotations()
        else:
            self.truth = read_coco(truth)
        known = [category.id for category in self.truth.categories]
        self.category_ids = tuple(known if category_ids is None else category_ids)
        unknown = sorted(set(self.category_ids) - set(known))
        if unknown:
            raise ValueError(f"category_ids must be ids of {self.truth.path}, got {unknown}")
        self._sizes = {image.id: image.size for image in self.truth.images}
        self.detections: list[dict[str, Any]] = []
        self.seen: set[int] = set()
        self._tables: dict[str, CocoTables] = {}

    def update(self, image_ids: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        """Take the results of some images, in the frame of the original images.

        Args:
            image_ids: one per result.
            results: dicts with `boxes` `(N, 4)` xyxy px, `scores` `(N,)`, `labels` `(N,)`, and
                `masks` `(N, H, W)` bool, or a list of `N` masks as run lengths, compressed or not,
                or no masks.

        Raises:
            ValueError: an id is unknown or comes twice, a label has no category, a mask is not of
                its image's size, or the lengths differ.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"got {len(image_ids)} image ids and {len(results)} results")
        self._tables.clear()
        for image_id, result in zip(image_ids, results, strict=True):
            if image_id not in self._sizes:
                raise ValueError(f"image {image_id} is not in {self.truth.path}")
            if image_id in self.seen:
                raise ValueError(f"image {image_id} was given twice")
            size = self._sizes[image_id]
            self.detections.extend(_make_entries(image_id, result, self.category_ids, size))
            self.seen.add(image_id)

    def add_detections(self, detections: Sequence[Mapping[str, Any]]) -> None:
        """Take the entries of a COCO results file, checked.

        Args:
            detections: dicts with image_id, category_id, score, and bbox (x, y, width, height) or
                segmentation (compressed run lengths) or both.

        Raises:
            ValueError: an entry is malformed, or of an unknown image or category.
        """
        categories = {category.id for category in self.truth.categories}
        for place, detection in enumerate(detections):
            fault = _find_fault(detection, self._sizes, categories)
            if fault:
                raise ValueError(f"detection #{place} for {self.truth.path} {fault}")
        self.merge(detections, {detection["image_id"] for detection in detections})

    def merge(self, detections: Iterable[Mapping[str, Any]], seen: Iterable[int]) -> None:
        """Take in `detections` and `seen` of an evaluator that had other images.

        Raises:
            ValueError: an image was given to both.
        """
        seen = set(seen)
        doubled = sorted(seen & self.seen)
        if doubled:
            raise ValueError(f"images were given twice: {doubled[:20]} ({len(doubled)} in all)")
        self._tables.clear()
        self.detections.extend(dict(detection) for detection in detections)
        self.seen |= seen

    @property
    def has_masks(self) -> bool:
        """True where the annotations have a mask to find; else the metrics of masks are all -1."""
        return any(entry.has_mask for entry in self.truth.annotations if not entry.is_crowd)

    def compute(self, kinds: Sequence[Kind] = KINDS) -> dict[str, Any]:
        """The metrics of all detections so far.

        Args:
            kinds: of what: "bbox", "segm".

        Returns:
            `{"bbox": {the 12 names: fraction}, "segm": {the same}, "per_class": {"bbox": {class
            name: AP}, "segm": {the same}}}`; -1 where there is no object to find.
        """
        tables = {kind: self._match(kind) for kind in kinds}
        scores: dict[str, Any] = {
            kind: dict(zip(METRIC_NAMES, found.numbers, strict=True))
            for kind, found in tables.items()
        }
        per_class = {kind: self._average_per_class(found) for kind, found in tables.items()}
        return scores | {"per_class": per_class}

    def precision_recall(self, kinds: Sequence[Kind] = KINDS) -> dict[Kind, PrecisionRecall]:
        """The curves behind the average precision of all detections so far, by kind."""
        tables = {kind: self._match(kind) for kind in kinds}
        return {
            kind: PrecisionRecall(recall=found.recall, precision=found.precision[..., 0, -1])
            for kind, found in tables.items()
        }

    def write_results(self, path: str | Path) -> None:
        """Write all detections as a COCO results file (JSON), beside its name first."""
        path = Path(path)
        entries = [
            {**entry, "segmentation": _printable(entry["segmentation"])}
            if "segmentation" in entry
            else entry
            for entry in self.detections
        ]
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(entries))
        os.replace(partial, path)

    def _match(self, kind: Kind) -> CocoTables:
        """Tables of boxes or masks; kept until there are more detections."""
        if kind not in self._tables:
            field = "bbox" if kind == "bbox" else "segmentation"
            detections = [entry for entry in self.detections if field in entry]
            self._tables[kind] = match_detections(
                self.truth, detections, kind, backend=self.backend
            )
        return self._tables[kind]

    def _average_per_class(self, tables: CocoTables) -> dict[str, float]:
        """AP by class name."""
        names = [category.name for category in self.truth.categories]
        per_class = {}
        for index, category in enumerate(self.truth.categories):
            precision = tables.precision[:, :, index, 0, -1]
            valid = precision[precision > -1]
            doubled = names.count(category.name) > 1
            name = f"{category.name} ({category.id})" if doubled else category.name
            per_class[name] = float(valid.mean()) if valid.size else _ABSENT
        return per_class


def _make_entries(
    image_id: int, result: Mapping[str, Any], category_ids: Sequence[int], size: Size
) -> list[dict[str, Any]]:
    """Entries of a COCO results file for one image."""
    boxes = result["boxes"].detach().cpu().double()
    scores, labels = result["scores"].tolist(), result["labels"].tolist()
    masks = result.get("masks")
    if isinstance(masks, Tensor) and tuple(masks.shape[1:]) != size:
        raise ValueError(
            f"masks must have the size of the image, {tuple(size)}, got"
            f" {tuple(masks.shape[1:])} (image {image_id})"
        )
    if masks is not None:
        masks = compress_masks(masks)
    lengths = {len(boxes), len(scores), len(labels), len(boxes) if masks is None else len(masks)}
    if len(lengths) > 1:
        raise ValueError(
            f"boxes, scores, labels and masks must be as many, got {sorted(lengths)} (image"
            f" {image_id})"
        )
    if labels and not 0 <= min(labels) <= max(labels) < len(category_ids):
        raise ValueError(
            f"labels must be in 0..{len(category_ids) - 1}, got {min(labels)} to {max(labels)}"
            f" (image {image_id})"
        )
    boxes[:, 2:] -= boxes[:, :2]  # xyxy -> x, y, width, height
    entries: list[dict[str, Any]] = []
    for place, box in enumerate(boxes.tolist()):
        entry = {
            "image_id": int(image_id),
            "category_id": category_ids[labels[place]],
            "bbox": box,
            "score": scores[place],
        }
        if masks is not None:
            entry["segmentation"] = masks[place]
        entries.append(entry)
    return entries


def _find_fault(
    detection: Mapping[str, Any], sizes: Mapping[int, Size], categories: set[int]
) -> str | None:
    """The fault of an entry of a results file; None for a good one."""
    if not isinstance(detection, Mapping):
        return "must be an object"
    if detection.get("image_id") not in sizes:
        return f"must be of one of its images, got image_id {detection.get('image_id')!r}"
    if detection.get("category_id") not in categories:
        return f"must be of one of its categories, got category_id {detection.get('category_id')!r}"
    if finite_number(detection.get("score")) is None:
        return f"must have a finite score, got {detection.get('score')!r}"
    if not {"bbox", "segmentation"} & detection.keys():
        return "must have bbox or segmentation, got neither"
    box = detection.get("bbox", [0, 0, 0, 0])
    if not isinstance(box, list) or len(box) != 4 or None in map(finite_number, box):
        return f"must have a bbox of four finite numbers, got {box!r}"
    if "segmentation" not in detection:
        return None
    try:
        check_run_lengths(detection["segmentation"], sizes[detection["image_id"]])
    except ValueError as error:
        return f"is one {error}"
    return None


def _printable(mask: Mapping[str, Any]) -> dict[str, Any]:
    """A compressed mask that JSON can hold."""
    counts = mask["counts"]
    return {**mask, "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
