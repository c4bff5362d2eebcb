"""Convolutions in CPU inference: in the layout, the type and the way that are fastest there."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from swin_dense.kernels.kept_values import can_keep, kept_value
from swin_dense.kernels.linear import is_plain, output_dtype
from swin_dense.kernels.processor import emulates_bfloat16, is_cpu_inference
from swin_dense.kernels.winograd import convolve_winograd, count_tiles, transform_weight

_MIN_CHANNELS = 64
_MIN_TILES = 128


def convolve(layer: nn.Conv2d | nn.ConvTranspose2d, maps: Tensor, *, relu: bool = False) -> Tensor:
    """Apply a convolution; in CPU inference channels-last.

    There, 3 x 3 convolutions in float32 of some size take Winograd's way, with a transformed weight
    that is kept; the module that holds the layer is a `KeepsValues`. And on a processor without
    products of bfloat16 they are computed in float32, and rounded.

    Args:
        layer: the layer.
        maps: `(B, C, H, W)`.
        relu: whether a ReLU follows.

    Returns:
        `(B, O, H', W')` of the type that the layer gives.
    """
    if not is_cpu_inference(maps):
        return _activate(layer(maps), relu)
    maps = maps.contiguous(memory_format=torch.channels_last)
    dtype = output_dtype(maps)
    in_float32 = dtype is torch.bfloat16 and emulates_bfloat16()
    if dtype is not torch.float32 and not in_float32:
        return _activate(layer(maps), relu)
    with torch.autocast("cpu", enabled=False):
        if _suits_winograd(layer, maps):
            weight, bias = layer.weight, layer.bias
            transformed = kept_value(weight, "winograd", lambda: transform_weight(weight))
            bias = None if bias is None else bias.float()
            return convolve_winograd(maps.float(), transformed, bias, relu=relu).to(dtype)
        if not in_float32:
            return _activate(layer(maps), relu)
        weights = {name: parameter.float() for name, parameter in layer.named_parameters()}
        return _activate(functional_call(layer, weights, maps.float()), relu).to(dtype)


def _activate(maps: Tensor, relu: bool) -> Tensor:
    return F.relu(maps, inplace=True) if relu else maps


def _suits_winograd(layer: nn.Module, maps: Tensor) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and is_plain(layer, nn.Conv2d)
        and can_keep(layer.weight)
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and min(layer.in_channels, layer.out_channels) >= _MIN_CHANNELS
        and count_tiles(maps) >= _MIN_TILES
    )
