"""Large images in tiles: where the tiles lie, and which of their detections are one object.

Tiles overlap. An object up to the size of the overlap is whole in at least one tile; where the edge
of another tile cuts it, that tile's detection gives way to the whole one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import batched_nms, box_areas

_MOST_COVERED = 0.5  # share of a cut box from which it is a part of another detection


class Tile(NamedTuple):
    """A part of an image, px; `right` and `bottom` are behind it."""

    left: int
    top: int
    right: int
    bottom: int


def cut_tiles(size: tuple[int, int], *, side: int, overlap: int) -> list[Tile]:
    """Cover an image with as few square tiles as overlap enough, evenly spread.

    Args:
        size: (height, width) of the image, px.
        side: of a tile, px; where the image is smaller the tile ends with it.
        overlap: smallest number of px that neighbours share.

    Returns:
        Tiles row by row; one for an image that fits into it.

    Raises:
        ValueError: `side` is below 1, or `overlap` not in 0..side - 1.
    """
    if not 0 <= overlap < side:
        raise ValueError(f"overlap must be in 0..side - 1, got {overlap} for a side of {side}")
    rows, columns = (_spread(length, side, overlap) for length in size)
    return [
        Tile(x, y, min(x + side, size[1]), min(y + side, size[0])) for y in rows for x in columns
    ]


def touches_inner_edge(
    boxes: Tensor, tile: Tile, size: tuple[int, int], *, margin: float
) -> Tensor:
    """Find the boxes of a tile that reach an edge of it inside the image: there they may be cut.

    Args:
        boxes: `(N, 4)`, xyxy, px of the image.
        tile: that they were found in.
        size: (height, width) of the image, px.
        margin: distance from the edge that counts as touching, px.

    Returns:
        `(N,)` bool.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    touches = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    if tile.left > 0:
        touches |= x1 <= tile.left + margin
    if tile.top > 0:
        touches |= y1 <= tile.top + margin
    if tile.right < size[1]:
        touches |= x2 >= tile.right - margin
    if tile.bottom < size[0]:
        touches |= y2 >= tile.bottom - margin
    return touches


def merge_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, is_cut: Tensor, *, nms_iou: float
) -> Tensor:
    """Choose one detection of each object among those of all tiles.

    Whole ones suppress each other as in one image. A cut one stays only where no whole one of its
    class covers half of it or more; of cut ones that cover half of the smaller, the best stays.

    Args:
        boxes: `(N, 4)`, xyxy, px of the image.
        scores: `(N,)`.
        labels: `(N,)` int64.
        is_cut: `(N,)` bool, whether the box touches an inner edge of its tile.
        nms_iou: overlap with a better whole box of the class above which one is suppressed.

    Returns:
        `(n,)` int64, indices of the detections kept, best score first.
    """
    whole = (~is_cut).nonzero().flatten()
    kept = whole[batched_nms(boxes[whole], scores[whole], labels[whole], iou_threshold=nms_iou)]
    cut = is_cut.nonzero().flatten()
    cut = cut[scores[cut].argsort(descending=True, stable=True)]
    covered = _shares(boxes[cut], boxes[kept], box_areas(boxes[cut])[:, None])
    is_part = (covered >= _MOST_COVERED) & (labels[cut][:, None] == labels[kept])
    cut = cut[~is_part.any(dim=1)]
    areas = box_areas(boxes[cut])
    shared = _shares(boxes[cut], boxes[cut], torch.minimum(areas[:, None], areas))
    is_same = (shared >= _MOST_COVERED) & (labels[cut][:, None] == labels[cut])
    chosen = torch.ones(len(cut), dtype=torch.bool, device=boxes.device)
    for i in range(len(cut)):
        if chosen[i]:
            chosen[i + 1 :] &= ~is_same[i, i + 1 :]
    indices = torch.cat([kept, cut[chosen]])
    return indices[scores[indices].argsort(descending=True, stable=True)]


def _spread(length: int, side: int, overlap: int) -> list[int]:
    """Starts of the fewest parts that cover a length, the last one ending with it."""
    if length <= side:
        return [0]
    num_steps = -(-(length - side) // (side - overlap))
    return [round(i * (length - side) / num_steps) for i in range(num_steps + 1)]


def _shares(boxes: Tensor, others: Tensor, areas: Tensor) -> Tensor:
    """Intersection of each box with each other one `(N, M)`, over areas that broadcast."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clamp(min=0).prod(dim=2) / areas.clamp(min=1e-6)
