"""A small decoder of UPerNet and pyramids for it, shared by the tests of its two ways."""

import torch
from torch import Tensor

from swin_dense.heads.segmentation.uper.uper_head import UPerHead

CHANNELS = (4, 6, 8, 10)


def make_head(*, dropout: float = 0.1) -> UPerHead:
    """A decoder of 5 classes in eval mode; its normalisations have statistics."""
    torch.manual_seed(0)
    head = UPerHead(CHANNELS, 5, channels=8, pool_scales=(1, 2, 3, 6), dropout=dropout)
    pyramid = make_pyramid(torch.Generator().manual_seed(1), batch=2)
    for _ in range(3):
        head(pyramid)
    return head.eval()


def make_pyramid(
    generator: torch.Generator,
    *,
    batch: int = 1,
    size: tuple[int, int] = (37, 26),
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Four levels of noise, the finest of `size` cells, each half the one before, rounded up."""
    return [
        torch.randn(
            batch, channels, -(-size[0] // 2**i), -(-size[1] // 2**i), generator=generator
        ).to(dtype)
        for i, channels in enumerate(CHANNELS)
    ]
