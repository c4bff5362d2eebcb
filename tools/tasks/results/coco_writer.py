"""Writing of detections as one COCO-format file, which is whole on the disk at any moment."""

import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from swin_dense.datasets.categories import COCO_CATEGORIES
from swin_dense.datasets.masks import compress_masks, mask_area
from swin_dense.heads.whole_model import Model
from swin_dense.tools.files import atomic_write
from swin_dense.tools.tasks.drawing import Picture, draw_detections
from swin_dense.tools.tasks.results.compact import keep_detections

_WRITING_SHARE = 0.05  # of the time may go into writing the file again as it grows


def categories_of(model: Model) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of a detector's labels, and the ids that they are written with."""
    num_classes: int = model.config.num_classes
    names, ids = model.class_names, model.category_ids
    coco = tuple(COCO_CATEGORIES.values())
    if ids is None and (names == coco or (names is None and num_classes == len(coco))):
        # published files do not store ids, and the oldest no names; these are COCO's
        names, ids = coco, tuple(COCO_CATEGORIES)
    return (
        names or tuple(f"class {i}" for i in range(num_classes)),
        ids or tuple(range(1, num_classes + 1)),
    )


class DetectionWriter:
    """Collects detections and writes them as one COCO-format file.

    The file has `images`, `categories` and `annotations` with a `score` each, masks as compressed
    run lengths; pycocotools and every tool for COCO files reads it. It is written after the first
    image, and again after every image unless that would take more than a twentieth of the time: so
    what was found is there, whatever ends the process.

    Args:
        path: of the file.
        model: gives the class names and category ids.
        score_threshold: detections below it are left out.
    """

    def __init__(self, path: Path, model: Model, *, score_threshold: float) -> None:
        self._path = path
        self._threshold = score_threshold
        self._names, self._ids = categories_of(model)
        # Encoded once, as they come: the file is these, joined.
        self._images: list[str] = []
        self._annotations: list[str] = []
        self._next_writing = 0.0

    def add(self, name: str, image: Tensor, result: dict[str, Any]) -> Picture:
        """Keep the detections of an image, write them, and draw them."""
        kept = keep_detections(result, result["scores"] >= self._threshold)
        if "masks" in kept:
            kept["masks"] = compress_masks(kept["masks"])
        image_id = len(self._images) + 1
        entry = {
            "id": image_id,
            "file_name": name,
            "height": image.shape[1],
            "width": image.shape[2],
        }
        self._images.append(json.dumps(entry))
        self._annotations += self._encode(image_id, kept)
        if time.monotonic() >= self._next_writing:
            start = time.monotonic()
            self._write()
            end = time.monotonic()
            self._next_writing = end + (end - start) / _WRITING_SHARE
        return draw_detections(image, kept, self._names)

    def close(self) -> None:
        """Write the file as it is to be."""
        self._write()

    def _encode(self, image_id: int, kept: dict[str, Any]) -> list[str]:
        """Annotations of one image, each as JSON."""
        columns = [kept[key].tolist() for key in ("boxes", "scores", "labels")]
        encoded = []
        for place, ((x1, y1, x2, y2), score, label) in enumerate(zip(*columns, strict=True)):
            annotation = {
                "id": len(self._annotations) + place + 1,
                "image_id": image_id,
                "category_id": self._ids[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            area = (x2 - x1) * (y2 - y1)
            if "masks" in kept:
                mask = kept["masks"][place]
                annotation["segmentation"] = {**mask, "counts": mask["counts"].decode()}
                area = float(mask_area(mask))
            encoded.append(json.dumps(annotation | {"area": area, "iscrowd": 0}))
        return encoded

    def _write(self) -> None:
        """Write all that there is, beside the file's final name and renamed."""
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(self._ids, self._names, strict=True)
        ]
        images, annotations = ", ".join(self._images), ", ".join(self._annotations)
        text = (
            f'{{"images": [{images}], "categories": {json.dumps(categories)}, '
            f'"annotations": [{annotations}]}}'
        )
        atomic_write(self._path, text)
