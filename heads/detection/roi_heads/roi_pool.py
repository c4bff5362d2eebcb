"""Pool the features of boxes from a pyramid (He et al. 2017, RoIAlign; Lin et al. 2017, Eq. 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align


def assign_fpn_levels(boxes: Tensor, *, finest: int = 2, coarsest: int = 5) -> Tensor:
    """Pick the pyramid level each box is pooled from.

    Lin et al. 2017 (FPN), Eq. 1, with a 224 px box on level 4. Boxes without area go to `finest`.

    Args:
        boxes: `(R, 4)`, xyxy, px of the input frame.
        finest: smallest level that may be given; level l has stride 2**l px.
        coarsest: largest level that may be given.

    Returns:
        `(R,)` int64 in [finest, coarsest]; `(0,)` for no boxes.

    Raises:
        ValueError: `boxes` is not `(R, 4)`, or `finest` is above `coarsest`.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (R, 4), got {tuple(boxes.shape)}")
    if finest > coarsest:
        raise ValueError(f"finest must not be above coarsest, got {finest} and {coarsest}")
    scales = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    # A box of 56 px is on level 2; 1e-6 lets boxes of just a power of two reach their level.
    levels = (scales / 56 + 1e-6).log2().floor() + 2
    return levels.clamp(finest, coarsest).long()


def boxes_to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """Concatenate the boxes `(R_i, 4)` of the images to `(R, 5)`, the image's index first."""
    indices = [torch.full_like(part[:, :1], image) for image, part in enumerate(boxes)]
    return torch.cat([torch.cat(indices), torch.cat(list(boxes))], dim=1)  # (R, 5)


def pool_rois(
    pyramid: Sequence[Tensor], rois: Tensor, *, strides: Sequence[int], output_size: int
) -> Tensor:
    """Pool each box from the level that fits its size.

    RoIAlign at half-pixel offsets (`aligned`), with as many samples per bin as the bin has cells.

    Args:
        pyramid: `(B, C, H_i, W_i)` each, fine to coarse; levels beyond `strides` are not used.
        rois: `(R, 5)` of `boxes_to_rois`, px of the input frame.
        strides: of the levels pooled from, px, each twice the one before.
        output_size: bins per side.

    Returns:
        `(R, C, output_size, output_size)` of the pyramid's dtype.
    """
    finest = strides[0].bit_length() - 1
    levels = assign_fpn_levels(rois[:, 1:], finest=finest, coarsest=finest + len(strides) - 1)
    # Boxes sorted by level: the host waits for the device once, for the counts.
    order = levels.argsort(stable=True)
    all_levels = torch.arange(finest, finest + len(strides), device=levels.device)
    counts = (levels == all_levels[:, None]).sum(dim=1).tolist()
    pooled = [
        roi_align(
            maps.float(),
            part,
            output_size,
            spatial_scale=1 / stride,
            sampling_ratio=0,
            aligned=True,
        ).to(maps.dtype)
        for maps, part, stride in zip(pyramid, rois[order].split(counts), strides, strict=False)
    ]
    return torch.cat(pooled)[order.argsort()]  # (R, C, output_size, output_size)
