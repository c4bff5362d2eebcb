"""Attention within (shifted) windows, with the relative position bias and the shift's mask.

Liu et al. 2021, section 3.2 and Equation 4. Which bias and which mask a pair of tokens has is
geometry, in `windows.py`; here both become one term that is added to the logits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels.kept_values import KeepsValues, can_keep, kept_value
from swin_dense.kernels.linear import linear
from swin_dense.kernels.processor import is_cpu_inference, processor_kind
from swin_dense.windowing.traced_windows import (
    TracedWindows,
    trace_relative_position_index,
    trace_shift_masks,
)
from swin_dense.windowing.window_plans import WindowGroup, window_table
from swin_dense.windowing.windows import relative_position_index, shift_masks

# The attention bias is read in rows whose start is a multiple of this many elements: the fused GPU
# kernels would otherwise copy it into such rows for every window.
_ROW_ALIGNMENT = 8


class WindowAttention(KeepsValues):
    """Multi-head attention within windows, with a learned bias per offset. Section 3.2."""

    def __init__(
        self, channels: int, *, num_heads: int, window_size: int, shifted: bool, qkv_bias: bool
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_channels = channels // num_heads
        self.window_size = window_size
        self.shifted = shifted
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        num_offsets = (2 * window_size - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_offsets, num_heads))
        self._constants: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        tokens: Tensor,
        groups: tuple[WindowGroup, ...] | tuple[TracedWindows, ...],
        bias: Tensor,
    ) -> Tensor:
        """Attend within each window.

        A slot of a window beyond the map holds a zero token, whose key and value are the biases of
        `qkv`; it is attended to like any other, as in the published code.

        Args:
            tokens: `(T, C)` real tokens in window order; of `TracedWindows` in raster order.
            groups: the windows they stand in.
            bias: `(kinds, nH, L, L)` from `bias`.

        Returns:
            `(T, C)` in the same order.
        """
        if isinstance(groups[0], TracedWindows):
            attended = self._attend_traced(tokens, groups, bias)
        else:
            attended = self._attend_planned(tokens, groups, bias)
        return linear(self.proj, attended[0] if len(attended) == 1 else torch.cat(attended))

    def bias(self, dtype: torch.dtype) -> Tensor:
        """Terms added to the logits of each kind of window: position bias and shift mask.

        Gathered once a forward in training. In inference it is cached until the table changes
        or the module changes its mode.

        Returns:
            `(4, nH, L, L)`, or `(1, nH, L, L)` where windows are not shifted.
        """
        table = self.relative_position_bias_table
        if self._constants is not None:
            bias, masks = self._constants
            return bias + masks if self.shifted else bias
        if not can_keep(table):
            return self._gather_bias(dtype)
        return kept_value(table, dtype, lambda: self._gather_bias(dtype).detach())

    @contextmanager
    def constant_bias(self) -> Iterator[None]:
        """Take what `bias` is made of as constants, which a graph that is exported then stores.

        Else it would hold the geometry of a window, in each block, as arithmetic.
        """
        table, window = self.relative_position_bias_table, self.window_size
        with torch.no_grad():
            index = window_table(relative_position_index, window, device=table.device)
            masks = window_table(shift_masks, window, device=table.device)  # (4, L, L)
            bias = table[index].permute(2, 0, 1)[None].contiguous()  # (1, nH, L, L)
        self._constants = bias, masks[:, None].to(bias.dtype).contiguous()
        try:
            yield
        finally:
            self._constants = None

    def _gather_bias(self, dtype: torch.dtype) -> Tensor:
        table = self.relative_position_bias_table
        window, device = self.window_size, table.device
        is_traced = torch.compiler.is_compiling()
        if is_traced:  # what is kept must not be made, nor become part of a graph, while tracing
            index = trace_relative_position_index(window, device=device)
        else:
            index = window_table(relative_position_index, window, device=device)
        bias = table[index].permute(2, 0, 1)[None]  # (1, nH, L, L)
        if self.shifted:
            if is_traced:
                masks = trace_shift_masks(window, device=device)  # (4, L, L)
            else:
                masks = window_table(shift_masks, window, device=device)
            bias = bias + masks[:, None]  # (4, nH, L, L)
        return bias.to(dtype) if is_traced else aligned_rows(bias.to(dtype))

    def _attend_planned(
        self, tokens: Tensor, groups: tuple[WindowGroup, ...], bias: Tensor
    ) -> list[Tensor]:
        """`(T_g, C)` of each group's windows, before the projection."""
        qkv = linear(self.qkv, tokens)  # (T, 3C)
        # Not slices: their gradients would each be a matrix of all tokens, most of it zero.
        parts = qkv.split([group.stop - group.start for group in groups])
        return [self._attend(*pair, bias) for pair in zip(parts, groups, strict=True)]

    def _attend(self, qkv: Tensor, group: WindowGroup, bias: Tensor) -> Tensor:
        """`(T, 3C)` of the group's tokens to `(T, C)`."""
        length = self.window_size**2
        if group.slots is not None:
            padding = qkv.new_zeros(()) if self.qkv.bias is None else self.qkv.bias.to(qkv.dtype)
            slots = padding.expand(group.num_windows * length, qkv.shape[1])
            qkv = slots.index_copy(0, group.slots, qkv)  # (n*L, 3C)
        qkv = qkv.reshape(group.num_windows, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (n, nH, L, D)
        if is_cpu_inference(qkv) and _by_products(qkv.dtype):
            attended = attend_by_products(query, key, value, bias[group.kind])
        else:
            mask = bias[group.kind][None]  # (1, nH, L, L)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(group.num_windows * length, -1)  # (n*L, C)
        return attended if group.slots is None else attended.index_select(0, group.slots)

    def _attend_traced(
        self, tokens: Tensor, maps: tuple[TracedWindows, ...], bias: Tensor
    ) -> list[Tensor]:
        """`(B_g*N_g, C)` of the maps of each size, in raster order, before the projection."""
        parts = [tokens]
        if len(maps) > 1:
            parts = list(tokens.split([size.num_images * size.num_tokens for size in maps]))
        attended = []
        for part, size in zip(parts, maps, strict=True):
            part = part.unflatten(0, (size.num_images, size.num_tokens))
            part = F.pad(part, (0, 0, 0, 1))  # the token of empty slots: (B, N + 1, C)
            qkv = self.qkv(part.flatten(0, 1)).unflatten(0, part.shape[:2])  # (B, N + 1, 3C)
            qkv = qkv.index_select(1, size.slots)  # (B, nW*L, 3C)
            num_windows, length = size.num_images * size.num_windows, self.window_size**2
            qkv = qkv.reshape(num_windows, length, 3, self.num_heads, self.head_channels)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B*nW, nH, L, D)
            mask = bias
            if self.shifted:
                mask = bias.index_select(0, size.kinds.repeat(size.num_images))
            # By products, which every runtime has: (B*nW or 1, nH, L, L) under the logits.
            logits = (query * self.head_channels**-0.5) @ key.transpose(-2, -1) + mask
            mapped = logits.softmax(dim=-1) @ value  # (B*nW, nH, L, D)
            mapped = mapped.transpose(1, 2).reshape(
                size.num_images, size.num_windows * length, tokens.shape[1]
            )
            attended.append(mapped.index_select(1, size.places).flatten(0, 1))  # (B*N, C)
        return attended


def aligned_rows(bias: Tensor) -> Tensor:
    """The same `(..., L, L)` values, each row starting at a multiple of 8 elements."""
    length = bias.shape[-1]
    padded = torch.nn.functional.pad(bias, (0, -length % _ROW_ALIGNMENT))
    return padded[..., :length]


def _by_products(dtype: torch.dtype) -> bool:
    """True if `attend_by_products` is the faster way on this processor.

    Measured on 8 to 512 windows of 49 tokens: with AVX-512 1.2 to 1.35 times as fast in bfloat16 as
    the fused kernel; in float32 and with AVX2 as fast, or slower.
    """
    return dtype is torch.bfloat16 and processor_kind() == "AVX-512 with bfloat16"


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention by two batched matrix products, the bias under the first.

    Args:
        query: `(n, nH, L, D)`, and so are `key` and `value`.
        bias: `(nH, L, L)`, added to the logits.

    Returns:
        `(n, nH, L, D)`.
    """
    shape = query.shape
    query, key, value = (heads.flatten(0, 1) for heads in (query, key, value))  # (n*nH, L, D)
    logits = bias.repeat(shape[0], 1, 1)  # (n*nH, L, L)
    logits.baddbmm_(query, key.transpose(1, 2), alpha=shape[-1] ** -0.5)
    return torch.bmm(logits.softmax(dim=-1), value).view(shape)
