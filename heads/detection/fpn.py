"""Feature pyramid network (Lin et al. 2017)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.conv_block import ConvBlock


class FPN(nn.Module):
    """Merge feature maps from coarse to fine, and add one coarser level for the RPN.

    The figure of the paper: a 1 x 1 convolution on each map, the coarser result enlarged to
    nearest neighbours and added, a 3 x 3 convolution on each sum. The extra level is every second
    cell of the coarsest.

    Args:
        in_channels: channels of each map, fine to coarse.
        channels: channels of every level of the pyramid.
    """

    def __init__(self, in_channels: Sequence[int], *, channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            ConvBlock(width, channels, kernel_size=1, relu=False) for width in in_channels
        )
        self.fpn_convs = nn.ModuleList(
            ConvBlock(channels, channels, kernel_size=3, relu=False) for _ in in_channels
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Build the pyramid.

        Args:
            features: `(B, C_i, H_i, W_i)` each, fine to coarse.

        Returns:
            `(B, channels, H_i, W_i)` each, and last `(B, channels, ceil(H/2), ceil(W/2))` of the
            coarsest size.
        """
        merged = [conv(maps) for conv, maps in zip(self.lateral_convs, features, strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            finer = merged[i - 1]
            finer += F.interpolate(merged[i], size=finer.shape[-2:], mode="nearest")
        pyramid = [conv(maps) for conv, maps in zip(self.fpn_convs, merged, strict=True)]
        return [*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2)]
