"""UPerNet decoder: pyramid pooling and a feature pyramid (Xiao et al. 2018).

Semantics and names are those of the published Swin segmentors: bilinear resizing with
`align_corners=False`, convolutions without bias, BatchNorm with eps 1e-5, ReLU.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU
from swin_dense.heads.segmentation.resizing import map_size, pool_maps, resize_maps
from swin_dense.heads.segmentation.uper.fast_uper_head import decode_fast


class UPerHead(nn.Module):
    """Decode a feature pyramid to class logits at the resolution of its finest level.

    Args:
        in_channels: channels of the levels, fine to coarse; two levels or more.
        num_classes: classes K.
        channels: width of every layer of the decoder.
        pool_scales: side lengths, in cells, that the coarsest level is pooled to.
        dropout: rate at which whole channels are dropped before the classifier.

    Attributes:
        fast: take the way of `fast_uper_head.py`; False: the figure as `forward` spells it out,
            which gives the same logits and which tests compare it with.
    """

    fast: bool = True

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int,
        pool_scales: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        if not finer:
            raise ValueError(f"in_channels must name at least 2 levels, got {tuple(in_channels)}")
        self.channels = channels
        self.psp_modules = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(scale), ConvNormReLU(coarsest, channels, kernel_size=1)
            )
            for scale in pool_scales
        )
        self.bottleneck = ConvNormReLU(
            coarsest + len(pool_scales) * channels, channels, kernel_size=3
        )
        self.lateral_convs = nn.ModuleList(
            ConvNormReLU(level, channels, kernel_size=1) for level in finer
        )
        self.fpn_convs = nn.ModuleList(
            ConvNormReLU(channels, channels, kernel_size=3) for _ in finer
        )
        self.fpn_bottleneck = ConvNormReLU(len(in_channels) * channels, channels, kernel_size=3)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start the classifier near zero, so that all classes are equally likely."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        if self.conv_seg.bias is not None:
            nn.init.zeros_(self.conv_seg.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Class logits of a pyramid (Xiao et al. 2018, Figure 4, its semantic segmentation alone).

        Args:
            features: `(B, C_i, H_i, W_i)`, fine to coarse.

        Returns:
            `(B, K, H_0, W_0)`.
        """
        if self.fast:
            return decode_fast(self, features)
        *finer, coarsest = features
        laterals = [conv(maps) for conv, maps in zip(self.lateral_convs, finer, strict=True)]
        laterals.append(self.pool_pyramid(coarsest))  # each (B, channels, H_i, W_i)
        for i in reversed(range(len(finer))):
            laterals[i] = laterals[i] + resize_maps(laterals[i + 1], map_size(laterals[i]))
        outputs = [conv(maps) for conv, maps in zip(self.fpn_convs, laterals[:-1], strict=True)]
        levels = [resize_maps(maps, map_size(features[0])) for maps in [*outputs, laterals[-1]]]
        joined = self.fpn_bottleneck(torch.cat(levels, dim=1))  # (B, channels, H_0, W_0)
        return self.conv_seg(self.dropout(joined))  # (B, K, H_0, W_0)

    def pool_pyramid(self, coarsest: Tensor) -> Tensor:
        """Add context of several reaches to the coarsest level (Zhao et al. 2017, PSPNet).

        Args:
            coarsest: `(B, C_3, H_3, W_3)`.

        Returns:
            `(B, channels, H_3, W_3)`.
        """
        size = map_size(coarsest)
        pooled = []
        for module in self.psp_modules:
            if torch.compiler.is_compiling():
                pool, conv = cast(nn.Sequential, module)
                cells = conv(pool_maps(coarsest, cast(int, pool.output_size)))
            else:
                cells = module(coarsest)  # (B, channels, s, s)
            pooled.append(resize_maps(cells, size))
        return self.bottleneck(torch.cat([coarsest, *pooled], dim=1))
