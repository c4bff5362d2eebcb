"""RoIAlign from a pyramid as tensors alone: each level pools the boxes that are on it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from swin_dense.heads.detection.roi_heads.roi_pool import assign_fpn_levels


def pool_levels(
    pyramid: Sequence[Tensor], boxes: Tensor, *, strides: Sequence[int], output_size: int
) -> Tensor:
    """Pool each box of one image from the level that fits its size, as `pool_rois`.

    How many boxes a level has is a number of the graph; to pool every box from every level and
    choose would cost a multiple of the time.

    Args:
        pyramid: `(1, C, H_i, W_i)` each; levels beyond `strides` are not used.
        boxes: `(R, 4)`, xyxy, px of the input frame.
        strides: of the levels pooled from, px, each twice the one before.
        output_size: bins S per side.

    Returns:
        `(R, C, S, S)` of the pyramid's dtype.
    """
    finest, num_levels = strides[0].bit_length() - 1, len(strides)
    levels = assign_fpn_levels(boxes, finest=finest, coarsest=finest + num_levels - 1)
    numbers = torch.arange(finest, finest + num_levels, device=boxes.device)
    is_on = levels[:, None] == numbers  # (R, L)
    pooled = []
    for level, stride in enumerate(strides):
        members = is_on[:, level].nonzero()[:, 0]  # (n,)
        rois = F.pad(boxes[members], (1, 0))  # (n, 5): all of image 0
        pooled.append(
            roi_align(
                pyramid[level].float(),
                rois,
                output_size,
                spatial_scale=1 / stride,
                sampling_ratio=0,
                aligned=True,
            )
        )
    # The place of each box among those pooled: behind the levels before, and its own level's.
    counts = is_on.long().cumsum(dim=0)  # (R, L)
    totals = is_on.long().sum(dim=0)  # (L,)
    places = ((totals.cumsum(0) - totals + counts - 1) * is_on).sum(dim=1)  # (R,)
    return torch.cat(pooled).index_select(0, places).to(pyramid[0].dtype)
