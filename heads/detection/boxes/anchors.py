"""Anchor boxes of the region proposal network (Ren et al. 2015, Section 3.1.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor

ANCHOR_DELTA_STDS = (1.0, 1.0, 1.0, 1.0)
"""Scale of the deltas between an anchor and its box."""


def make_anchors(
    feature_size: tuple[int, int],
    *,
    stride: int,
    scale: float,
    ratios: Sequence[float],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Anchors of one pyramid level.

    They are centred on the top left corner of each cell and not rounded, as the published weights
    were trained with.

    Args:
        feature_size: (height, width) of the feature map, in cells.
        stride: px of the input frame per cell.
        scale: side of the square anchor, in strides.
        ratios: height over width, one per anchor of a cell; the area is the same for all.
        device: where the anchors are made.

    Returns:
        `(H*W*A, 4)` float32, xyxy, px of the input frame; ordered by row, column, ratio.
    """
    roots = torch.tensor(ratios, dtype=torch.float32).sqrt()  # (A,)
    half = 0.5 * scale * stride * torch.stack([1 / roots, roots], dim=1)  # (A, 2)
    shapes = torch.cat([-half, half], dim=1).to(device, non_blocking=True)  # (A, 4)
    height, width = feature_size
    y = torch.arange(height, dtype=torch.float32, device=device) * stride
    x = torch.arange(width, dtype=torch.float32, device=device) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    corners = torch.stack([x, y, x, y], dim=-1)  # (H, W, 4)
    return (corners[:, :, None] + shapes).flatten(0, 2)  # (H*W*A, 4)


def anchors_in_image(
    anchors: Tensor,
    size: tuple[int, int],
    *,
    size_divisor: int,
    allowed_border: int | None,
) -> Tensor:
    """Mask of the anchors of a batch that take part in the training of one of its images.

    Those centred on the image, padded by itself, that is, up to the next multiple of
    `size_divisor`, and not on the padding that larger images of the batch brought about.

    Args:
        anchors: `(N, 4)`, xyxy, px of the input frame.
        size: true (height, width) of the image.
        size_divisor: sides are padded to a multiple of this, px.
        allowed_border: drop anchors that leave the image by this many px; None drops none.

    Returns:
        `(N,)` bool.
    """
    height, width = size
    padded_height = -(-height // size_divisor) * size_divisor
    padded_width = -(-width // size_divisor) * size_divisor
    x1, y1, x2, y2 = anchors.unbind(-1)
    # Centres are multiples of the stride but for rounding: half a pixel decides safely.
    inside = (x1 + x2 < 2 * padded_width - 1) & (y1 + y2 < 2 * padded_height - 1)
    if allowed_border is None:
        return inside
    inside &= (x1 >= -allowed_border) & (y1 >= -allowed_border)
    return inside & (x2 < width + allowed_border) & (y2 < height + allowed_border)
