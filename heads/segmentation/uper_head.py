"""UPerNet decoder: pyramid pooling and a feature pyramid (Xiao et al. 2018).

Semantics and names are those of the published Swin segmentors: bilinear resizing with
`align_corners=False`, convolutions without bias, BatchNorm with eps 1e-5, ReLU.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU
from swin_dense.heads.segmentation.resizing import (
    convolve_resized,
    map_size,
    resize_maps,
    resize_rows,
)

# Cells of the finest level that are decoded together in inference, as whole rows: a 512 x 512 px
# crop is one piece.
_CELLS_AT_A_TIME = 2**14


class UPerHead(nn.Module):
    """Decode a feature pyramid to class logits at the resolution of its finest level.

    Args:
        in_channels: channels of the levels, fine to coarse; two levels or more.
        num_classes: classes K.
        channels: width of every layer of the decoder.
        pool_scales: side lengths, in cells, that the coarsest level is pooled to.
        dropout: rate at which whole channels are dropped before the classifier.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
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
        """Give logits for a pyramid.

        Channels lie innermost in memory throughout, which the convolutions and the enlarging by
        matrices want. Without gradients and in eval mode the finest level is decoded in strips of
        rows, which gives the same logits in less memory.

        Args:
            features: `(B, C_i, H_i, W_i)`, fine to coarse.

        Returns:
            `(B, K, H_0, W_0)`.
        """
        finest, *coarser = features
        lateral, outputs = self._decode_coarser(coarser)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._decode_rows(finest, lateral, outputs, (0, finest.shape[-2]))
        return self._decode_by_strips(finest, lateral, outputs)

    def pool_pyramid(self, coarsest: Tensor) -> Tensor:
        """Add context of several reaches to the coarsest level (Zhao et al. 2017, PSPNet).

        Args:
            coarsest: `(B, C_3, H_3, W_3)`.

        Returns:
            `(B, channels, H_3, W_3)`.
        """
        size = map_size(coarsest)
        pooled = [resize_maps(module(coarsest), size) for module in self.psp_modules]
        return self.bottleneck(torch.cat([coarsest, *pooled], dim=1))

    def _decode_coarser(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode all levels but the finest.

        Args:
            features: `(B, C_i, H_i, W_i)` from the second finest to the coarsest level.

        Returns:
            `(B, channels, H_1, W_1)`, which is added to the finest level; and for each level the
            maps `(B, channels, H_i, W_i)` that are joined.
        """
        *middle, coarsest = (_channels_innermost(maps) for maps in features)
        laterals = [conv(maps) for conv, maps in zip(self.lateral_convs[1:], middle, strict=True)]
        laterals.append(self.pool_pyramid(coarsest))
        for i in reversed(range(len(laterals) - 1)):
            laterals[i] = laterals[i] + resize_maps(laterals[i + 1], map_size(laterals[i]))
        outputs = [conv(maps) for conv, maps in zip(self.fpn_convs[1:], laterals[:-1], strict=True)]
        return laterals[0], [*outputs, laterals[-1]]

    def _decode_by_strips(
        self, finest: Tensor, lateral: Tensor, outputs: Sequence[Tensor]
    ) -> Tensor:
        """Give all logits `(B, K, H_0, W_0)`, filled in strip by strip."""
        batch, _, height, width = finest.shape
        step = max(1, _CELLS_AT_A_TIME // width)
        logits: Tensor | None = None
        for top in range(0, height, step):
            rows = top, min(top + step, height)
            strip = self._decode_rows(finest, lateral, outputs, rows)  # (B, K, step, W_0)
            if rows == (0, height):
                return strip
            if logits is None:
                logits = torch.empty(
                    (batch, strip.shape[1], height, width),
                    dtype=strip.dtype,
                    device=strip.device,
                    memory_format=torch.channels_last,
                )
            logits[:, :, slice(*rows)] = strip
        assert logits is not None
        return logits

    def _decode_rows(
        self, finest: Tensor, lateral: Tensor, outputs: Sequence[Tensor], rows: tuple[int, int]
    ) -> Tensor:
        """Give logits `(B, K, last - first, W_0)` of the rows `(first, last)` of the finest level.

        `fpn_bottleneck` convolves all levels, resized to the finest and joined. It is computed as
        a sum over levels, which lets the coarser ones be convolved at their own size.
        """
        size = map_size(finest)
        weight, bias = self.fpn_bottleneck.kernel()
        weight, *weights = weight.split(self.channels, dim=1)  # each (channels, channels, 3, 3)
        joined = self._convolve_finest(finest, lateral, weight, bias, rows)
        for output, weight in zip(outputs, weights, strict=True):
            joined += convolve_resized(output, weight, size, rows)
        return self.conv_seg(self.dropout(self.fpn_bottleneck.finish(joined)))

    def _convolve_finest(
        self,
        finest: Tensor,
        lateral: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        rows: tuple[int, int],
    ) -> Tensor:
        """The finest level's part `(B, channels, last - first, W_0)` of the joining convolution.

        Each 3 x 3 convolution needs one row more on either side than it gives. At a cut, where its
        own zero padding stands for a row that exists, the row it then gets wrong is dropped.
        """
        size = map_size(finest)
        first, last = rows
        outer = max(first - 2, 0), min(last + 2, size[0])
        inner = max(first - 1, 0), min(last + 1, size[0])
        maps = self.lateral_convs[0](_channels_innermost(finest[:, :, slice(*outer)]))
        maps = maps + resize_rows(lateral, [size], outer)
        maps = self.fpn_convs[0](maps)[:, :, inner[0] - outer[0] : inner[1] - outer[0]]
        maps = F.conv2d(maps, weight, bias, padding=1)
        return maps[:, :, first - inner[0] : last - inner[0]]


def _channels_innermost(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)
