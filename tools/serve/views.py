"""Descriptions of a result for the page, so that it can draw it itself: one class for each task.

The browser draws, so that sliders and switches answer at once and without the network. Boxes and
outlines are in px of the image; a label map has the size of the small picture that is shown.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from swin_dense.datasets.masks import CompressedMask, compress_masks, crop_mask
from swin_dense.tools.features.preview import as_png
from swin_dense.tools.printable import printable
from swin_dense.tools.serve.choice import Choice
from swin_dense.tools.serve.served_model import Servable
from swin_dense.tools.tasks.drawing import Picture, as_hex, class_colour
from swin_dense.tools.tasks.label_map_pictures import (
    background_labels,
    class_areas,
    class_colours,
    class_names_of,
    draw_with_shares,
    largest_first,
)
from swin_dense.tools.tasks.results.coco_writer import categories_of
from swin_dense.tools.tasks.results.compact import keep_detections
from swin_dense.tools.tasks.segmentation_scores import pack_labels, unpack_labels


class View(Protocol):
    """Keeping, describing and drawing of a task's results.

    Attributes:
        kind: which part of the page shows them.
    """

    kind: str

    def pack(self, result: Any) -> Any:
        """The result in a form that takes little memory."""

    def unpack(self, packed: Any, choice: Choice) -> Any:
        """The rest that the choice leaves of the result, as the task's writer takes it."""

    def describe(self, packed: Any, shown: tuple[int, int]) -> dict[str, Any]:
        """The result as JSON, for a picture of the size (height, width) px."""

    def file_names(self, name: str) -> list[str] | None:
        """The files that the task's writer makes of an image of that name; None: not known."""

    def draw(self, image: Tensor, packed: Any, choice: Choice) -> Picture | None:
        """The picture of an image `(3, H, W)`; None: the one that the task's writer draws."""


class DetectionView:
    """Boxes, outlines, names and scores."""

    kind = "detection"

    def __init__(self, model: Any) -> None:
        self._names = categories_of(model)[0]

    def pack(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """See `View`."""
        packed = {name: v.cpu() if isinstance(v, Tensor) else v for name, v in result.items()}
        if "masks" in packed:
            packed["masks"] = compress_masks(packed["masks"])
        return packed

    def unpack(self, packed: dict[str, Any], choice: Choice) -> dict[str, Any]:
        """See `View`."""
        is_kept = packed["scores"] >= choice.threshold
        is_kept &= ~torch.isin(packed["labels"], torch.tensor(sorted(choice.hidden)).long())
        return keep_detections(packed, is_kept)

    def describe(self, packed: dict[str, Any], shown: tuple[int, int]) -> dict[str, Any]:
        """See `View`; the largest object comes first, as it is drawn first."""
        boxes = packed["boxes"].float()
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order = torch.argsort(-areas, stable=True).tolist()
        scores, labels = packed["scores"].tolist(), packed["labels"].tolist()
        masks = packed.get("masks")
        objects = [
            {
                "label": labels[place],
                "score": round(scores[place], 4),
                "box": [round(edge, 2) for edge in boxes[place].tolist()],
                "outlines": [] if masks is None else _outlines(masks[place], shown),
            }
            for place in order
        ]
        # The class of the surest object first: what a threshold leaves stands at the top.
        surest = sorted(range(len(labels)), key=lambda place: -scores[place])
        classes = [
            {
                "label": label,
                "name": printable(self._names[label]),
                "colour": as_hex(class_colour(label)),
            }
            for label in dict.fromkeys(labels[place] for place in surest)
        ]
        return {"classes": classes, "objects": objects, "has_masks": masks is not None}

    def file_names(self, name: str) -> list[str] | None:
        """See `View`."""
        del name
        return ["predictions.json"]

    def draw(self, image: Tensor, packed: Any, choice: Choice) -> Picture | None:
        """None."""
        del image, packed, choice
        return None


class SegmentationView:
    """A label map with its legend."""

    kind = "segmentation"

    def __init__(self, model: Any) -> None:
        self._names = class_names_of(model)
        self._colours = class_colours(model.config.num_classes)

    def pack(self, result: Tensor) -> Any:
        """See `View`."""
        return pack_labels(result)

    def unpack(self, packed: Any, choice: Choice) -> Tensor:
        """The label map, which has all classes, whatever is switched off in the picture."""
        del choice
        return unpack_labels(packed)

    def describe(self, packed: Any, shown: tuple[int, int]) -> dict[str, Any]:
        """See `View`."""
        labels = unpack_labels(packed)
        areas = class_areas(labels, len(self._colours))
        unpainted = background_labels(self._names)
        classes = [
            {
                "label": label,
                "name": printable(self._names[label]),
                "colour": as_hex(self._colours[label]),
                "share": float(areas[label] / labels.numel()),
                "is_painted": label not in unpainted,
            }
            for label in largest_first(areas)
        ]
        small = cv2.resize(
            labels.numpy(), (shown[1], shown[0]), interpolation=cv2.INTER_NEAREST_EXACT
        )
        return {"classes": classes, "label_map": as_png(np.repeat(small[..., None], 3, axis=2))}

    def file_names(self, name: str) -> list[str] | None:
        """See `View`."""
        path = Path(name)
        png = path if path.suffix.lower() == ".png" else path.with_suffix(".png")
        return ["classes.txt", f"label_maps/{png}"]

    def draw(self, image: Tensor, packed: Any, choice: Choice) -> Picture | None:
        """See `View`."""
        return draw_with_shares(
            image,
            unpack_labels(packed),
            self._names,
            self._colours,
            opacity=choice.opacity,
            hidden=sorted(choice.hidden),
        )


class PictureView:
    """Any other task: the picture that its writer draws."""

    kind = "picture"

    def pack(self, result: Any) -> Any:
        """The result as it is."""
        return result

    def unpack(self, packed: Any, choice: Choice) -> Any:
        """The result as it is."""
        del choice
        return packed

    def describe(self, packed: Any, shown: tuple[int, int]) -> dict[str, Any]:
        """Nothing besides the picture."""
        del packed, shown
        return {"classes": []}

    def file_names(self, name: str) -> list[str] | None:
        """None: what its writer makes."""
        del name
        return None

    def draw(self, image: Tensor, packed: Any, choice: Choice) -> Picture | None:
        """None."""
        del image, packed, choice
        return None


def view_of(model: Servable) -> View:
    """The view of a model's task."""
    views: dict[str, Callable[[Any], View]] = {
        "detection": DetectionView,
        "segmentation": SegmentationView,
    }
    return views[model.task](model) if model.task in views else PictureView()


def _outlines(mask: CompressedMask, shown: tuple[int, int]) -> list[list[float]]:
    """Closed lines around a mask and its holes, `x, y, x, y, ...` in px of the image.

    As fine as the picture that they are drawn on, which has the size `shown`.
    """
    crop = crop_mask(mask)
    if not crop.bitmap.size:
        return []
    bitmap = np.ascontiguousarray(crop.bitmap).view(np.uint8)
    lines, _ = cv2.findContours(
        bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(crop.left, crop.top)
    )
    pixel = max(1.0, mask["size"][1] / shown[1])  # of the picture, in px of the image
    outlines = []
    for line in lines:
        fewer = cv2.approxPolyDP(line, 0.6 * pixel, True).reshape(-1, 2) + 0.5  # middles of pixels
        outlines.append([round(float(value), 1) for value in fewer.ravel()])
    return outlines
