"""Linear layers in CPU inference: products with weights that are packed once.

`F.linear` brings a weight into the order that the processor's product reads at every call; oneDNN
takes weights that already are (the operators that torch.compile emits). Measured on Swin-T's
layers: 1.1 to 1.35 times as fast in float32, 1.1 in bfloat16.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from swin_dense.kernels.kept_values import can_keep, kept_value
from swin_dense.kernels.processor import emulates_bfloat16, processor_kind

_PROCESSORS = ("AMX", "AVX-512 with bfloat16", "AVX-512", "AVX2")
# With AVX2 oneDNN's error function takes longer than torch's.
_GELU_WITH_PRODUCT = ("AMX", "AVX-512 with bfloat16", "AVX-512")


def linear(
    layer: nn.Linear, inputs: Tensor, *, gelu: bool = False, channels: int | None = None
) -> Tensor:
    """Apply a linear layer; in CPU inference with its weight packed.

    That is in eval mode without gradients, in float32 and bfloat16, of a plain layer: one with
    hooks, a parametrization or another forward is called. The packed weight is kept until the
    weight changes; the module that holds the layer is a `KeepsValues`. On a processor without
    products of bfloat16 they are computed in float32, and rounded.

    Args:
        layer: the layer.
        inputs: `(..., in_features)`.
        gelu: whether GELU (exact) follows.
        channels: if given, the inputs are maps with this many channels, which lie innermost, while
            the layer's own order has the channels first.

    Returns:
        `(..., out_features)` of the type that the layer gives.
    """
    dtype = _packed_dtype(layer, inputs)
    if dtype is None:
        if channels is not None:
            inputs = inputs.unflatten(-1, (-1, channels)).transpose(-2, -1).flatten(-2)
        outputs = layer(inputs)
        return F.gelu(outputs) if gelu else outputs
    packed = kept_value(
        layer.weight, (dtype, channels), lambda: _pack(layer.weight, dtype, channels)
    )
    bias = None if layer.bias is None else layer.bias.to(dtype)
    fused = gelu and processor_kind() in _GELU_WITH_PRODUCT
    outputs = torch.ops.mkldnn._linear_pointwise(
        inputs.to(dtype), packed, bias, "gelu" if fused else "none", [], "none"
    )
    if gelu and not fused:
        outputs = torch.ops.aten.gelu_(outputs)
    return outputs.to(output_dtype(inputs))


def output_dtype(inputs: Tensor) -> torch.dtype:
    """The type that linear layers give for inputs: autocast's, or their own."""
    if inputs.is_meta:  # autocast does not know that device
        return inputs.dtype
    device = inputs.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs.dtype


def _packed_dtype(layer: nn.Linear, inputs: Tensor) -> torch.dtype | None:
    """The type of the product with a packed weight; None where the layer is to be called."""
    if layer.training or inputs.device.type != "cpu" or not can_keep(layer.weight):
        return None
    types = {inputs.dtype, layer.weight.dtype}
    dtype = output_dtype(inputs)
    if dtype is torch.bfloat16 and torch.is_autocast_enabled("cpu"):
        types -= {torch.float32}  # autocast casts it
    if dtype not in (torch.float32, torch.bfloat16) or types - {dtype}:
        return None
    if not (_has_packed_products() and is_plain(layer, nn.Linear)):
        return None
    return torch.float32 if emulates_bfloat16() else dtype


def _pack(weight: Tensor, dtype: torch.dtype, channels: int | None) -> Tensor:
    weight = weight.detach()
    if channels is not None:
        weight = weight.unflatten(1, (channels, -1)).transpose(1, 2).flatten(1)
    return torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype))


def _has_packed_products() -> bool:
    is_enabled = bool(torch.backends.mkldnn.enabled)
    return is_enabled and processor_kind() in _PROCESSORS and _has_operators()


@lru_cache(maxsize=1)
def _has_operators() -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """True if a call of the layer is what its class computes, and nobody sees anything besides."""
    return type(layer) is kind and not (
        layer._forward_hooks
        or layer._forward_pre_hooks
        or "forward" in vars(layer)
        or _has_any_global_hook()
        or is_in_torch_dispatch_mode()  # counts or records the usual operators
        or torch.jit.is_tracing()
    )
