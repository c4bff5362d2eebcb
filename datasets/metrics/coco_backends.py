"""The packages that match detections to COCO's truth: pycocotools, or its faster equal.

Both are given the same dicts, and both give the same numbers but for the last bits of a float
(tested on published detections and on random ones); faster-coco-eval has in C++ the loops that
pycocotools has in Python.
"""

import contextlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.masks import mask_area, rasterise_polygons
from swin_dense.datasets.samples import Size

BackendName = Literal["auto", "pycocotools", "faster-coco-eval"]
Kind = Literal["bbox", "segm"]

_FASTER = "faster_coco_eval"


@dataclass(frozen=True, kw_only=True)
class CocoTables:
    """The numbers and tables of an evaluation of boxes or of masks.

    Attributes:
        numbers: the 12 COCO numbers, -1 where there is no object.
        recall: `(101,)` float64, the points at which precision was taken, 0..1.
        precision: `(10, 101, K, 4, 3)` float64 by IoU threshold (0.5 to 0.95), recall, class (in
            the order of their ids), size of the objects (all, small, medium, large) and number of
            detections an image (1, 10, 100); -1 where a class has no object.
    """

    numbers: tuple[float, ...]
    recall: np.ndarray
    precision: np.ndarray


def choose_backend(name: BackendName) -> BackendName:
    """The package to use: "auto" is faster-coco-eval where it is installed.

    Raises:
        ValueError: the name is unknown, or the package is not installed.
    """
    choices = ("auto", "pycocotools", "faster-coco-eval")
    if name not in choices:
        raise ValueError(f"backend must be one of {', '.join(choices)}, got {name!r}")
    is_installed = importlib.util.find_spec(_FASTER) is not None
    if name == "faster-coco-eval" and not is_installed:
        raise ValueError(
            "backend 'faster-coco-eval' must be installed, got none; "
            'pip install "swin-dense[fast-eval]", or use pycocotools'
        )
    if name == "auto":
        return "faster-coco-eval" if is_installed else "pycocotools"
    return name


def match_detections(
    coco: CocoFile, detections: Sequence[Mapping[str, Any]], kind: Kind, *, backend: BackendName
) -> CocoTables:
    """Match detections to the truth and make COCO's tables.

    Args:
        coco: the truth. For masks, an object without a usable one is no object to find: its box is
            a region, as a crowd's, in which detections of its class are neither right nor wrong.
        detections: entries of a COCO results file with the fields of `kind`. One with a box counts
            as small, medium or large by its box.
        kind: "bbox" or "segm".
        backend: of `choose_backend`.
    """
    index_of, evaluation_of = _load(backend)
    truth = index_of(_truth_content(coco, kind))
    results = index_of(_detections_content(truth.dataset, detections, kind))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = evaluation_of(truth, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return CocoTables(
        numbers=tuple(float(number) for number in evaluation.stats[:12]),
        recall=np.asarray(evaluation.params.recThrs, dtype=np.float64),
        precision=np.asarray(evaluation.eval["precision"], dtype=np.float64),
    )


def _load(backend: BackendName) -> tuple[Any, Any]:
    """A function that indexes a data set's content, and the class that evaluates."""
    if backend == "faster-coco-eval":
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

    def index_of(content: dict[str, Any]) -> Any:
        index = COCO()
        index.dataset = content
        with contextlib.redirect_stdout(io.StringIO()):
            index.createIndex()
        return index

    return index_of, COCOeval


def _truth_content(coco: CocoFile, kind: Kind) -> dict[str, Any]:
    """The annotations as the packages want them."""
    annotations: list[dict[str, Any]] = []
    sizes = {image.id: image.size for image in coco.images}
    for annotation in coco.annotations:
        entry: dict[str, Any] = {
            # A match with annotation 0 is taken for no match; ids have no other use here.
            "id": len(annotations) + 1,
            "image_id": annotation.image_id,
            "category_id": annotation.category_id,
            "bbox": list(annotation.box),
            "area": annotation.area,
            "iscrowd": int(annotation.is_crowd),
        }
        if kind == "segm":
            size = sizes[annotation.image_id]
            if annotation.has_mask:
                entry["segmentation"] = _truth_mask(annotation, size)
            else:
                entry |= {"segmentation": _box_mask(annotation.box, size), "iscrowd": 1}
        annotations.append(entry)
    return {
        "images": [
            {"id": image.id, "height": image.size.height, "width": image.size.width}
            for image in coco.images
        ],
        "categories": [{"id": category.id, "name": category.name} for category in coco.categories],
        "annotations": annotations,
    }


def _truth_mask(annotation: CocoAnnotation, size: Size) -> object:
    if annotation.run_lengths is not None:
        return annotation.run_lengths
    return rasterise_polygons([annotation.polygons], size)[0]


def _box_mask(box: tuple[float, float, float, float], size: Size) -> object:
    """The part of a box, x, y, width, height, that lies in its image."""
    x, y, width, height = box
    ends = np.clip([x, y, x + width, y + height], 0, [size.width, size.height] * 2)
    corners = ends[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)  # (4, 2)
    return rasterise_polygons([[corners]], size)[0]


def _detections_content(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], kind: Kind
) -> dict[str, Any]:
    """The detections as the packages want them, which they cannot make of an empty list."""
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
    return {
        "images": truth["images"],
        "categories": truth["categories"],
        "annotations": entries,
    }
