"""Pool the features of boxes from a pyramid (He et al. 2017, RoIAlign; Lin et al. 2017, Eq. 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from swin_dense.heads.detection.roi_heads.roi_align_rows import roi_align_rows
from swin_dense.kernels.processor import is_cpu_inference
from swin_dense.pyramids import Pyramids


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
    # Compared with the powers: a runtime's logarithm may round to the other side of one.
    powers = 2.0 ** (torch.arange(finest + 1, coarsest + 1, device=boxes.device) - 2)
    return finest + (scales[:, None] / 56 + 1e-6 >= powers).sum(dim=1)


def boxes_to_rois(boxes: Sequence[Tensor], places: Sequence[int]) -> Tensor:
    """Concatenate the boxes `(R_i, 4)` of the images to `(R, 5)`, the image's place first."""
    columns = [torch.full_like(part[:, :1], n) for part, n in zip(boxes, places, strict=True)]
    return torch.cat([torch.cat(columns), torch.cat(list(boxes))], dim=1)  # (R, 5)


def pool_rois(
    pyramids: Pyramids, boxes: Sequence[Tensor], *, strides: Sequence[int], output_size: int
) -> Tensor:
    """Pool each box from the level that fits its size.

    RoIAlign at half-pixel offsets (`aligned`), with as many samples per bin as the bin has cells;
    in CPU inference by `roi_align_rows`, else torchvision's operator.

    Args:
        pyramids: of the images; levels beyond `strides` are not used.
        boxes: `(R_i, 4)` per image, xyxy, px of the input frame.
        strides: of the levels pooled from, px, each twice the one before.
        output_size: bins per side.

    Returns:
        `(R, C, output_size, output_size)` of the pyramid's dtype, all images in order.
    """
    groups, places = zip(*pyramids.places, strict=True)
    rois = boxes_to_rois(boxes, places)
    finest, num_levels = strides[0].bit_length() - 1, len(strides)
    levels = assign_fpn_levels(rois[:, 1:], finest=finest, coarsest=finest + num_levels - 1)
    first_maps = [
        torch.full_like(part[:, 0], num_levels * group, dtype=torch.int64)
        for part, group in zip(boxes, groups, strict=True)
    ]
    sources = torch.cat(first_maps) + levels - finest  # (R,), numbers in `maps`
    maps = [level for pyramid in pyramids.maps for level in pyramid[:num_levels]]
    scales = [1 / stride for stride in strides] * len(pyramids.maps)
    if is_cpu_inference(rois) and maps[0].dtype in (torch.float32, torch.bfloat16):
        return roi_align_rows(maps, sources, rois, scales=scales, output_size=output_size)
    # Boxes sorted by their map: the host waits for the device once, for the counts.
    order = sources.argsort(stable=True)
    counts = (sources == torch.arange(len(maps), device=order.device)[:, None]).sum(dim=1).tolist()
    pooled = [
        roi_align(
            level.float(),
            part,
            output_size,
            spatial_scale=scale,
            sampling_ratio=0,
            aligned=True,
        ).to(level.dtype)
        for level, part, scale in zip(maps, rois[order].split(counts), scales, strict=True)
    ]
    return torch.cat(pooled)[order.argsort()]  # (R, C, output_size, output_size)
