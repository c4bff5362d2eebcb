"""COCO's metrics for boxes and masks, by pycocotools, from results as the models give them."""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from swin_dense.datasets.coco import CocoDetection
from swin_dense.datasets.coco_file import (
    CocoAnnotation,
    CocoFile,
    check_run_lengths,
    finite_number,
    read_coco,
)
from swin_dense.datasets.masks import compress_bitmaps, mask_area, rasterise_polygons
from swin_dense.datasets.samples import Size

METRIC_NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
_KINDS = ("bbox", "segm")
_ABSENT = -1.0


class CocoEvaluator:
    """Collects detections image by image and computes COCO's 12 numbers for boxes and for masks.

    Masks are compressed as they come, so memory stays small. Images without detections count. The
    whole annotation file is the truth, also what training leaves out; an object without a usable
    mask is left out for masks alone. A detection with box and mask counts as small, medium or large
    by its box, for masks too: that is what pycocotools makes of a results file with both. (mmdet's
    own report goes by the mask, which moves APs, APm and APl of masks by up to 0.004.)

    Several processes: each updates an evaluator with its own images, then one `merge`s the others'
    `detections` and `seen`.

    Attributes:
        detections: all so far, as entries of a COCO results file.
        seen: ids of the images that were updated.
        evaluations: pycocotools' `COCOeval` of each kind, after `compute`, with its precision and
            recall tables.
    """

    def __init__(
        self, truth: str | Path | CocoDetection, *, category_ids: Sequence[int] | None = None
    ) -> None:
        """Read and check the annotations.

        Args:
            truth: the annotation file, or a data set made from it.
            category_ids: the id of each label the model gives; default: the file's, rising.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file has faults, all named; or `category_ids` holds an id that the file
                does not.
        """
        path = truth.annotation_file if isinstance(truth, CocoDetection) else truth
        self._coco = read_coco(path)
        known = [category.id for category in self._coco.categories]
        self.category_ids = tuple(known if category_ids is None else category_ids)
        unknown = sorted(set(self.category_ids) - set(known))
        if unknown:
            raise ValueError(f"category_ids must be ids of {path}, got {unknown}")
        self._sizes = {image.id: image.size for image in self._coco.images}
        self.detections: list[dict[str, Any]] = []
        self.seen: set[int] = set()
        self.evaluations: dict[str, COCOeval] = {}

    def update(self, image_ids: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        """Take the results of some images, in the frame of the original photographs.

        Args:
            image_ids: one per result.
            results: dicts with `boxes` `(N, 4)` xyxy px, `scores` `(N,)`, `labels` `(N,)`, and
                `masks` `(N, H, W)` bool, or a list of `N` compressed masks, or no masks.

        Raises:
            ValueError: an id is unknown or comes twice, a label has no category, a mask is not of
                its photograph's size, or the lengths differ.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"got {len(image_ids)} image ids and {len(results)} results")
        for image_id, result in zip(image_ids, results, strict=True):
            if image_id not in self._sizes:
                raise ValueError(f"image {image_id} is not in {self._coco.path}")
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
        categories = {category.id for category in self._coco.categories}
        for place, detection in enumerate(detections):
            fault = _find_fault(detection, self._sizes, categories)
            if fault:
                raise ValueError(f"detection #{place} for {self._coco.path} {fault}")
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
        self.detections.extend(dict(detection) for detection in detections)
        self.seen |= seen

    def compute(self) -> dict[str, Any]:
        """The metrics of all detections so far.

        Returns:
            `{"bbox": {the 12 names: fraction}, "segm": {the same}, "per_class": {"bbox": {class
            name: AP}, "segm": {the same}}}`; -1 where there is no object to find.
        """
        scores: dict[str, Any] = {"per_class": {}}
        for kind in _KINDS:
            numbers, per_class = self._evaluate(kind)
            scores[kind] = dict(zip(METRIC_NAMES, numbers, strict=True))
            scores["per_class"][kind] = per_class
        return {kind: scores[kind] for kind in (*_KINDS, "per_class")}

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

    def _evaluate(self, kind: str) -> tuple[list[float], dict[str, float]]:
        """The 12 numbers, and AP by class name."""
        field = "bbox" if kind == "bbox" else "segmentation"
        detections = [entry for entry in self.detections if field in entry]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            truth = _make_truth(self._coco, kind)
            evaluation = COCOeval(truth, _make_detections(truth, detections, kind), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        self.evaluations[kind] = evaluation
        # (IoU, recall, class, area, detections): all sizes, 100 detections.
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        per_class = {}
        names = [category.name for category in self._coco.categories]
        for index, category in enumerate(self._coco.categories):
            found = precision[:, :, index][precision[:, :, index] > -1]
            doubled = names.count(category.name) > 1
            name = f"{category.name} ({category.id})" if doubled else category.name
            per_class[name] = float(found.mean()) if found.size else _ABSENT
        return [float(number) for number in evaluation.stats], per_class


def _make_entries(
    image_id: int, result: Mapping[str, Any], category_ids: Sequence[int], size: Size
) -> list[dict[str, Any]]:
    """Entries of a COCO results file for one image."""
    boxes = result["boxes"].detach().cpu().double()
    scores, labels = result["scores"].tolist(), result["labels"].tolist()
    masks = result.get("masks")
    if isinstance(masks, Tensor):
        if tuple(masks.shape[1:]) != size:
            raise ValueError(
                f"masks must have the size of the photograph, {tuple(size)}, got"
                f" {tuple(masks.shape[1:])} (image {image_id})"
            )
        columns = masks.detach().bool().transpose(1, 2).contiguous().cpu()  # (N, W, H)
        masks = compress_bitmaps(columns.numpy().transpose(0, 2, 1))
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
    """What is wrong with an entry of a results file; None for a good one."""
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


def _make_truth(coco: CocoFile, kind: str) -> COCO:
    """The annotations as pycocotools wants them."""
    annotations: list[dict[str, Any]] = []
    sizes = {image.id: image.size for image in coco.images}
    for annotation in coco.annotations:
        entry: dict[str, Any] = {
            # pycocotools takes a match with annotation 0 for no match; ids mean nothing else to it.
            "id": len(annotations) + 1,
            "image_id": annotation.image_id,
            "category_id": annotation.category_id,
            "bbox": list(annotation.box),
            "area": annotation.area,
            "iscrowd": int(annotation.is_crowd),
        }
        if kind == "segm":
            entry["segmentation"] = _truth_mask(annotation, sizes[annotation.image_id])
            if entry["segmentation"] is None:
                continue
        annotations.append(entry)
    truth = COCO()
    truth.dataset = {
        "images": [
            {"id": image.id, "height": image.size.height, "width": image.size.width}
            for image in coco.images
        ],
        "categories": [{"id": category.id, "name": category.name} for category in coco.categories],
        "annotations": annotations,
    }
    truth.createIndex()
    return truth


def _truth_mask(annotation: CocoAnnotation, size: Size) -> object:
    if annotation.run_lengths is not None:
        return annotation.run_lengths
    return rasterise_polygons([annotation.polygons], size)[0] if annotation.polygons else None


def _make_detections(truth: COCO, detections: list[dict[str, Any]], kind: str) -> COCO:
    """The detections as pycocotools wants them; of an empty list it makes nothing by itself."""
    entries = []
    for place, detection in enumerate(detections):
        entry = {key: detection[key] for key in ("image_id", "category_id", "score")}
        if "bbox" in detection:
            entry["bbox"] = detection["bbox"]
            entry["area"] = detection["bbox"][2] * detection["bbox"][3]
        else:
            entry["area"] = mask_area(detection["segmentation"])
        if kind == "segm":
            entry["segmentation"] = detection["segmentation"]
        entries.append({**entry, "id": place + 1, "iscrowd": 0})
    found = COCO()
    found.dataset = {
        "images": truth.dataset["images"],
        "categories": truth.dataset["categories"],
        "annotations": entries,
    }
    found.createIndex()
    return found


def _printable(mask: Mapping[str, Any]) -> dict[str, Any]:
    """A compressed mask that JSON can hold."""
    counts = mask["counts"]
    return {**mask, "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
