"""Objects drawn as outlines or bitmaps, as the annotations of a COCO file."""

from collections.abc import Sequence

import numpy as np

from swin_dense.datasets.formats.coco_file import CocoAnnotation
from swin_dense.datasets.masks import CompressedMask


def annotation_of_polygons(
    polygons: Sequence[np.ndarray], *, image_id: int, category_id: int
) -> CocoAnnotation:
    """The union of outlines, each `(P, 2)` px; the area is the sum of theirs. The id is 0."""
    points = np.concatenate(polygons)
    x1, y1 = points.min(0).tolist()
    x2, y2 = points.max(0).tolist()
    return CocoAnnotation(
        id=0,
        image_id=image_id,
        category_id=category_id,
        box=(x1, y1, x2 - x1, y2 - y1),
        area=float(sum(_area(polygon) for polygon in polygons)),
        is_crowd=False,
        polygons=list(polygons),
        run_lengths=None,
    )


def annotation_of_box(
    box: tuple[float, float, float, float],
    *,
    image_id: int,
    category_id: int,
    run_lengths: CompressedMask | None = None,
    area: float | None = None,
) -> CocoAnnotation:
    """An object with a box x, y, width, height in px, and a mask if there is one. The id is 0."""
    return CocoAnnotation(
        id=0,
        image_id=image_id,
        category_id=category_id,
        box=box,
        area=box[2] * box[3] if area is None else area,
        is_crowd=False,
        polygons=[],
        run_lengths=run_lengths,
    )


def number_annotations(annotations: Sequence[CocoAnnotation]) -> list[CocoAnnotation]:
    """The annotations with ids from 1 up."""
    return [
        annotation._replace(id=number) for number, annotation in enumerate(annotations, start=1)
    ]


def _area(polygon: np.ndarray) -> float:
    """Area within an outline, px^2 (shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
