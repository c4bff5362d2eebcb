"""U-Net's decoder (Ronneberger et al. 2015), as segmentation_models_pytorch has it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU


class UNetHead(nn.Module):
    """Blocks from the coarsest level to the image's own size, and a classifier there.

    Each block enlarges what comes from below to the size of the next finer level, joins both, and
    has two convolutions. Beyond the finest level there is nothing to join: sizes are doubled.
    Enlarging repeats the nearest cell.

    Args:
        in_channels: channels of the levels, fine to coarse.
        num_classes: classes K.
        channels: width of each block, the coarsest first; at least one for each level but the
            coarsest.
    """

    def __init__(
        self, in_channels: Sequence[int], num_classes: int, *, channels: Sequence[int]
    ) -> None:
        super().__init__()
        *skips, below = in_channels
        joined = [*reversed(skips), *[0] * (len(channels) - len(skips))]
        inputs = [below, *channels[:-1]]
        self.blocks = nn.ModuleList(
            UNetBlock(before + skip, after)
            for before, skip, after in zip(inputs, joined, channels, strict=True)
        )
        self.conv_seg = nn.Conv2d(channels[-1], num_classes, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the classifier as Glorot and Bengio 2010; the blocks draw their own."""
        nn.init.xavier_uniform_(self.conv_seg.weight)
        if self.conv_seg.bias is not None:
            nn.init.zeros_(self.conv_seg.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Class logits of a pyramid.

        Args:
            features: `(B, C_i, H_i, W_i)`, fine to coarse.

        Returns:
            `(B, K, H, W)`, each side the finest level's times 2 for every block beyond it.
        """
        *skips, maps = features
        for block in self.blocks:
            maps = block(maps, skips.pop() if skips else None)
        return self.conv_seg(maps)  # (B, K, H, W)


class UNetBlock(nn.Module):
    """Enlarge, join, and two 3 x 3 convolutions, each with normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvNormReLU(channels, out_channels, kernel_size=3)
            for channels in (in_channels, out_channels)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions as He et al. 2015, evenly, by the values that come in."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, maps: Tensor, skip: Tensor | None) -> Tensor:
        """`(B, C, h, w)`, and the finer level `(B, C', H, W)` or None, to `(B, C'', H, W)`."""
        if skip is None:
            maps = F.interpolate(maps, scale_factor=2, mode="nearest")
        else:
            maps = F.interpolate(maps, size=skip.shape[-2:], mode="nearest")
            maps = torch.cat([maps, skip], dim=1)
        for conv in self.convs:
            maps = conv(maps)
        return maps
