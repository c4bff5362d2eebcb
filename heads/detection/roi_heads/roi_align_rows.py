"""RoIAlign (He et al. 2017) on maps whose channels lie side by side, for CPU inference.

The samples of a bin are a grid, and linear interpolation goes along each axis by itself. So the
mean of a bin's samples is a sum over the cells around it, each weighted by a factor for its row
and one for its column, and each a row of C values: what `embedding_bag` adds up. torchvision's
operator walks channels-first maps value by value, and in float32 alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def roi_align_rows(
    maps: Sequence[Tensor],
    sources: Tensor,
    rois: Tensor,
    *,
    scales: Sequence[float],
    output_size: int,
) -> Tensor:
    """Pool each box from its map: torchvision's `roi_align`, `aligned`, with adaptive sampling.

    Args:
        maps: `(B_m, C, H_m, W_m)` each; copied unless they are channels-last.
        sources: `(R,)` int64, the map of each box.
        rois: `(R, 5)`, the image's place in its map, then xyxy, px, not far outside the map.
        scales: cells a px, of each map.
        output_size: bins S per side.

    Returns:
        `(R, C, S, S)` of the maps' dtype, channels-last. A box without area gives zeros.
    """
    channels = maps[0].shape[1]
    pooled = maps[0].new_zeros(len(rois), output_size, output_size, channels)
    rows = [level.permute(0, 2, 3, 1).reshape(-1, channels) for level in maps]  # (B*H*W, C) each
    boxes = rois[:, 1:] * rois.new_tensor(scales)[sources, None] - 0.5  # (R, 4), cells
    starts, extents = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]  # (R, 2), x and y
    # As many samples per bin and axis as the bin has cells.
    num_samples = (extents / output_size).ceil().long()  # (R, 2)
    kinds = torch.cat([sources[:, None], num_samples], dim=1)  # (R, 3)
    kinds, kind_of_roi = kinds.unique(dim=0, return_inverse=True)
    order = kind_of_roi.argsort(stable=True)
    counts = kind_of_roi.bincount(minlength=len(kinds)).tolist()
    for (source, num_x, num_y), which in zip(kinds.tolist(), order.split(counts), strict=True):
        if min(num_x, num_y) < 1:
            continue
        height, width = maps[source].shape[-2:]
        x, x_weights = _weigh_cells(
            starts[which, 0], extents[which, 0] / output_size, num_x, output_size, width
        )  # (n, S, K_x) each
        y, y_weights = _weigh_cells(
            starts[which, 1], extents[which, 1] / output_size, num_y, output_size, height
        )  # (n, S, K_y) each
        y = (rois[which, 0].int()[:, None, None] * height + y) * width
        cells = y[:, :, None, :, None] + x[:, None, :, None, :]  # (n, S, S, K_y, K_x)
        weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
        sums = F.embedding_bag(
            cells.flatten(3).flatten(0, 2),  # (n*S*S, K_y*K_x)
            rows[source],
            per_sample_weights=weights.flatten(3).flatten(0, 2).to(pooled.dtype),
            mode="sum",
        )  # (n*S*S, C)
        pooled.index_copy_(0, which, sums.view(-1, *pooled.shape[1:]))
    return pooled.permute(0, 3, 1, 2)  # (R, C, S, S)


def _weigh_cells(
    starts: Tensor, bin_sizes: Tensor, num_samples: int, num_bins: int, num_cells: int
) -> tuple[Tensor, Tensor]:
    """Weights of the cells around each bin, along one axis, in the mean of the bin's samples.

    Args:
        starts: `(n,)` of the boxes, in cells counted from the centre of the first.
        bin_sizes: `(n,)`, cells, at most one a sample.
        num_samples: in each bin.
        num_bins: S of each box.
        num_cells: of the map along the axis.

    Returns:
        Cells `(n, S, K)` int32 and their weights; K is one more than there are samples. Beyond its
        ends the map goes on for one cell, with its last value; further out a sample is zero.
    """
    bins = torch.arange(num_bins, dtype=starts.dtype)
    samples = torch.arange(num_samples, dtype=starts.dtype) + 0.5
    # In torchvision's order of operations: ends of the map are compared with the sums.
    starts, bin_sizes = starts[:, None, None], bin_sizes[:, None, None]
    places = starts + bins[:, None] * bin_sizes + samples * bin_sizes / num_samples  # (n, S, s)
    is_inside = (places >= -1) & (places <= num_cells)
    places = places.clamp(0, num_cells - 1)
    cells = places[..., :1].floor() + torch.arange(num_samples + 1, dtype=starts.dtype)  # (n, S, K)
    shares = 1 - (places[..., None] - cells[:, :, None]).abs()  # (n, S, s, K)
    weights = (shares.clamp(min=0) * is_inside[..., None]).sum(dim=2) / num_samples  # (n, S, K)
    return cells.clamp(max=num_cells - 1).int(), weights
