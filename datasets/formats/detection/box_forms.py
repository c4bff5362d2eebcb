"""Boxes in another form than COCO's, which would be trained on without a word."""

import numpy as np

from swin_dense.datasets.formats.coco_file import CocoFile

_FEWEST = 10  # boxes; fewer prove nothing
_TOLERANCE = 2.0  # px that a box may reach out of its image


def check_box_form(coco: CocoFile) -> None:
    """Refuse boxes that are corners, or shares of the image, instead of x, y, width, height in px.

    Raises:
        ValueError: most boxes reach out of their images as COCO reads them, and none does read as
            two corners; or all numbers are in 0..1 while the images are larger.
    """
    if len(coco.annotations) < _FEWEST:
        return
    sizes = {image.id: image.size for image in coco.images}
    boxes = np.array([annotation.box for annotation in coco.annotations])  # (N, 4)
    limits = np.array([sizes[annotation.image_id][::-1] for annotation in coco.annotations])
    if ((boxes >= 0) & (boxes <= 1)).all() and (boxes[:, 2:] < 1).any() and limits.min() > 1:
        raise ValueError(
            f"{coco.path} must have boxes as x, y, width, height in px, got shares of the image: "
            f"all numbers of {len(boxes)} boxes are in 0..1"
        )
    outside = (boxes[:, :2] + boxes[:, 2:] > limits + _TOLERANCE).any(1)
    are_corners = (boxes[:, 2:] > boxes[:, :2]).all(1) & (boxes[:, 2:] <= limits + _TOLERANCE).all(
        1
    )
    if outside.mean() > 0.5 and are_corners.all():
        raise ValueError(
            f"{coco.path} must have boxes as x, y, width, height, got two corners: read as COCO's, "
            f"{int(outside.sum())} of {len(boxes)} boxes reach out of their images"
        )
