"""UPerNet's decoder in less time and memory than the figure of the paper, with the same logits.

The figure is `UPerHead.forward` (Xiao et al. 2018). Three things differ here, none in the result:

* `fpn_bottleneck` convolves all levels, resized to the finest and concatenated. That is a sum over
  levels, so each coarser level is convolved before it is enlarged (`convolve_resized`). The
  concatenated maps are never in memory.
* In inference the finest level is decoded in strips of rows.
* Channels lie innermost in memory throughout, which the convolutions and the enlarging by
  matrices want.
"""

from collections.abc import Sequence
from typing import Protocol

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
# crop is one strip.
_CELLS_PER_STRIP = 2**14


class UPerHeadLayers(Protocol):
    """The layers of a `UPerHead`."""

    training: bool
    channels: int
    lateral_convs: nn.ModuleList
    fpn_convs: nn.ModuleList
    fpn_bottleneck: ConvNormReLU
    dropout: nn.Dropout2d
    conv_seg: nn.Conv2d

    def pool_pyramid(self, coarsest: Tensor) -> Tensor:
        """See `UPerHead`."""
        ...


def decode_fast(head: UPerHeadLayers, features: Sequence[Tensor]) -> Tensor:
    """Class logits of a pyramid, equal to the plain `UPerHead.forward` up to rounding.

    Args:
        head: its layers.
        features: `(B, C_i, H_i, W_i)`, fine to coarse.

    Returns:
        `(B, K, H_0, W_0)`.
    """
    finest, *coarser = features
    lateral, outputs = _decode_coarser(head, coarser)
    # Batch statistics and gradients need whole maps, and a graph should hold no loop over strips.
    if head.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _decode_rows(head, finest, lateral, outputs, (0, finest.shape[-2]))
    return _decode_by_strips(head, finest, lateral, outputs)


def _decode_coarser(
    head: UPerHeadLayers, features: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Decode all levels but the finest.

    Args:
        head: its layers.
        features: `(B, C_i, H_i, W_i)` from the second finest to the coarsest level.

    Returns:
        `(B, channels, H_1, W_1)`, which is added to the finest level; and for each level the maps
        `(B, channels, H_i, W_i)` that are concatenated in the figure.
    """
    *middle, coarsest = (_channels_innermost(maps) for maps in features)
    laterals = [conv(maps) for conv, maps in zip(head.lateral_convs[1:], middle, strict=True)]
    laterals.append(head.pool_pyramid(coarsest))
    for i in reversed(range(len(laterals) - 1)):
        laterals[i] = laterals[i] + resize_maps(laterals[i + 1], map_size(laterals[i]))
    outputs = [conv(maps) for conv, maps in zip(head.fpn_convs[1:], laterals[:-1], strict=True)]
    return laterals[0], [*outputs, laterals[-1]]


def _decode_by_strips(
    head: UPerHeadLayers, finest: Tensor, lateral: Tensor, outputs: Sequence[Tensor]
) -> Tensor:
    """All logits `(B, K, H_0, W_0)`, filled in strip by strip."""
    batch, _, height, width = finest.shape
    step = max(1, _CELLS_PER_STRIP // width)
    logits: Tensor | None = None
    for top in range(0, height, step):
        rows = top, min(top + step, height)
        strip = _decode_rows(head, finest, lateral, outputs, rows)  # (B, K, step, W_0)
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
    head: UPerHeadLayers,
    finest: Tensor,
    lateral: Tensor,
    outputs: Sequence[Tensor],
    rows: tuple[int, int],
) -> Tensor:
    """Logits `(B, K, last - first, W_0)` of the rows `(first, last)` of the finest level."""
    size = map_size(finest)
    weight, bias = head.fpn_bottleneck.kernel()
    weight, *weights = weight.split(head.channels, dim=1)  # each (channels, channels, 3, 3)
    joined = _convolve_finest(head, finest, lateral, weight, bias, rows)
    for output, weight in zip(outputs, weights, strict=True):
        joined += convolve_resized(output, weight, size, rows)
    return head.conv_seg(head.dropout(head.fpn_bottleneck.finish(joined)))


def _convolve_finest(
    head: UPerHeadLayers,
    finest: Tensor,
    lateral: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    rows: tuple[int, int],
) -> Tensor:
    """The finest level's part `(B, channels, last - first, W_0)` of `fpn_bottleneck`.

    Each 3 x 3 convolution needs one row more on either side than it gives. At a cut, where its
    zero padding stands for a row that exists, the row it then gets wrong is dropped.
    """
    size = map_size(finest)
    first, last = rows
    outer = max(first - 2, 0), min(last + 2, size[0])
    inner = max(first - 1, 0), min(last + 1, size[0])
    maps = head.lateral_convs[0](_channels_innermost(finest[:, :, slice(*outer)]))
    maps = maps + resize_rows(lateral, [size], outer)
    maps = head.fpn_convs[0](maps)[:, :, inner[0] - outer[0] : inner[1] - outer[0]]
    maps = F.conv2d(maps, weight, bias, padding=1)
    return maps[:, :, first - inner[0] : last - inner[0]]


def _channels_innermost(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)
