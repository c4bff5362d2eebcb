"""Box geometry: overlap, coding of boxes as deltas, clipping, non-maximum suppression.

Boxes are `(x1, y1, x2, y2)` in continuous pixel coordinates: pixel i covers [i, i + 1).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

DELTA_LIMIT = abs(math.log(16 / 1000))
"""Largest |log| by which one regression step may change a width or a height."""

_MIN_UNION = 1e-6  # square px; keeps the overlap of two boxes without area at 0
MAX_JOINT_NMS = 10_000  # boxes; beyond this, groups are suppressed one after the other


def pairwise_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of each box of one set with each of the other.

    Args:
        boxes1: `(N, 4)`, xyxy, px.
        boxes2: `(M, 4)`, xyxy, px, same frame.

    Returns:
        `(N, M)` in 0..1; 0 where neither box has an area.
    """
    # One coordinate at a time: the largest temporaries are (N, M), not (N, M, 2).
    x1, y1, x2, y2 = boxes1[:, None].unbind(-1)  # (N, 1) each
    other_x1, other_y1, other_x2, other_y2 = boxes2.unbind(-1)  # (M,) each
    width = (torch.minimum(x2, other_x2) - torch.maximum(x1, other_x1)).clamp_(min=0)  # (N, M)
    height = (torch.minimum(y2, other_y2) - torch.maximum(y1, other_y1)).clamp_(min=0)  # (N, M)
    intersection = width.mul_(height)
    union = box_areas(boxes1)[:, None] + box_areas(boxes2) - intersection  # (N, M)
    return intersection / union.clamp_(min=_MIN_UNION)


def aligned_giou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Generalised intersection over union of each box with its partner.

    Rezatofighi et al. 2019, Algorithm 1.

    Args:
        boxes1: `(N, 4)`, xyxy, px.
        boxes2: `(N, 4)`, xyxy, px, same frame.

    Returns:
        `(N,)` in -1..1.
    """
    overlap = (
        torch.minimum(boxes1[:, 2:], boxes2[:, 2:]) - torch.maximum(boxes1[:, :2], boxes2[:, :2])
    ).clamp(min=0)  # (N, 2)
    hull = (
        torch.maximum(boxes1[:, 2:], boxes2[:, 2:]) - torch.minimum(boxes1[:, :2], boxes2[:, :2])
    ).clamp(min=0)  # (N, 2)
    intersection = overlap[:, 0] * overlap[:, 1]
    union = (box_areas(boxes1) + box_areas(boxes2) - intersection).clamp(min=_MIN_UNION)
    hull_area = (hull[:, 0] * hull[:, 1]).clamp(min=_MIN_UNION)
    return intersection / union - (hull_area - union) / hull_area


def box_areas(boxes: Tensor) -> Tensor:
    """Areas `(N,)` in square px of boxes `(N, 4)`."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def is_nonempty(boxes: Tensor) -> Tensor:
    """Mask `(...)` bool of the boxes `(..., 4)` whose width and height are positive."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def encode_boxes(boxes: Tensor, gt_boxes: Tensor, *, stds: Sequence[float]) -> Tensor:
    """Deltas that move each box onto its ground-truth box.

    Girshick et al. 2014 (R-CNN), Appendix C, divided by `stds`.

    Args:
        boxes: `(N, 4)` with positive width and height, xyxy, px.
        gt_boxes: `(N, 4)` with positive width and height, xyxy, px, same frame.
        stds: scale of the four deltas.

    Returns:
        `(N, 4)`: dx, dy in box sizes and dw, dh in logarithms, each over its std.
    """
    x, y, width, height = _centers_and_sizes(boxes)
    gt_x, gt_y, gt_width, gt_height = _centers_and_sizes(gt_boxes)
    deltas = (
        (gt_x - x) / width,
        (gt_y - y) / height,
        (gt_width / width).log(),
        (gt_height / height).log(),
    )
    return torch.stack([d / std for d, std in zip(deltas, stds, strict=True)], dim=1)  # (N, 4)


def decode_boxes(boxes: Tensor, deltas: Tensor, *, stds: Sequence[float]) -> Tensor:
    """Move boxes by deltas, the inverse of `encode_boxes`.

    Width and height change by at most a factor of 1000 / 16, either way, as the published weights
    were trained with.

    Args:
        boxes: `(..., 4)`, xyxy, px.
        deltas: `(..., 4)`.
        stds: scale of the four deltas.

    Returns:
        `(..., 4)`, xyxy, px, not clipped to any image.
    """
    # Numbers and not a tensor of `stds`: copying one to the device would make the host wait.
    dx, dy, dw, dh = (d * std for d, std in zip(deltas.unbind(-1), stds, strict=True))
    x, y, width, height = _centers_and_sizes(boxes)
    x, y = x + width * dx, y + height * dy
    half_width = width * dw.clamp(-DELTA_LIMIT, DELTA_LIMIT).exp() * 0.5
    half_height = height * dh.clamp(-DELTA_LIMIT, DELTA_LIMIT).exp() * 0.5
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip boxes `(..., 4)` to an image of `size` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack(
        [x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1
    )


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, *, iou_threshold: float) -> Tensor:
    """Non-maximum suppression inside each group (class or pyramid level).

    Each group is shifted by `shift_groups`, whatever the number of boxes; torchvision's function of
    that name switches to exact coordinates for larger sets.

    Args:
        boxes: `(N, 4)` float32, xyxy, px.
        scores: `(N,)`.
        groups: `(N,)` non-negative group numbers.
        iou_threshold: overlap with a better box of the group above which a box is suppressed.

    Returns:
        `(n,)` int64, indices of the boxes kept, best score first; `(0,)` for no boxes.
    """
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    if len(boxes) < MAX_JOINT_NMS:
        return joint_nms(boxes, scores, groups, iou_threshold=iou_threshold)
    shifted = shift_groups(boxes, groups)
    keep = []
    for group in groups.unique():
        members = (groups == group).nonzero().flatten()
        keep.append(members[nms(shifted[members], scores[members], iou_threshold)])
    indices = torch.cat(keep)
    return indices[scores[indices].argsort(descending=True)]


def topk_in_order(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest scores, of equal ones the first: the same on every device, in every runtime.

    Scores are equal where the image is: in a black border, an overexposed sky. `topk` may choose
    any of them.

    Args:
        scores: `(..., N)` float32, finite.
        k: number, at most N, which is at most 2**22.

    Returns:
        Scores and indices, `(..., k)` each, best first.
    """
    places = torch.arange(scores.shape[-1], device=scores.device, dtype=torch.float64)
    exact = scores.double()
    # Less than float32 resolves, more than float64 does.
    keys = exact - exact.abs().clamp(min=1e-30) * (places * 2.0**-48)
    best = keys.topk(k).indices
    return scores.gather(-1, best), best


def joint_nms(boxes: Tensor, scores: Tensor, groups: Tensor, *, iou_threshold: float) -> Tensor:
    """`batched_nms` in one go, whatever the number of boxes: nothing depends on their values."""
    return nms(shift_groups(boxes, groups), scores, iou_threshold)


def shift_groups(boxes: Tensor, groups: Tensor) -> Tensor:
    """Shift the boxes of each group by more than the largest coordinate.

    So boxes of two groups never overlap. The shift rounds coordinates, hence it is done as in the
    code that gave the published scores.

    Args:
        boxes: `(N, 4)`, xyxy, px, of an image that begins at 0.
        groups: `(N,)` non-negative group numbers.

    Returns:
        `(N, 4)`; `(0, 4)` for no boxes.
    """
    largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # 0 for no boxes
    return boxes + groups.to(boxes)[:, None] * (largest + 1)


def _centers_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre x and y, width and height, `(...)` each, of boxes `(..., 4)`."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1
