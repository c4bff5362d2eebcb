"""The parts of a Swin Transformer: patch embedding, window attention, block, patch merging.

Liu et al. 2021. Tokens of all images of a batch are one `(N, C)` matrix, `N = B*H*W`, in one of the
orders of `windows.py`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from swin_dense.window_plans import (
    BlockPlan,
    Chunk,
    Permutation,
    WindowGroup,
    aligned_rows,
    window_table,
)
from swin_dense.windows import TokenOrder, relative_position_index, shift_masks

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
# Bytes of one `(tokens, C)` temporary of a block in CPU inference. Measured on two cores: smaller
# chunks slow the bfloat16 products down (their weights are packed at every call), larger ones
# leave the cache.
_PIECE_BYTES = 2**21
_MIN_PIECE_TOKENS = 1024


class PatchEmbed(nn.Module):
    """Pixels to tokens: one linear map per patch, then an optional norm."""

    def __init__(
        self, *, in_channels: int, embed_dim: int, patch_size: int, patch_norm: bool
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(embed_dim) if patch_norm else nn.Identity()
        self.patch_size = patch_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed images; zeros are added at the bottom and the right up to whole patches.

        Args:
            pixels: `(B, 3, H, W)` float.

        Returns:
            `(B, ceil(H/4), ceil(W/4), C)`.
        """
        height, width = pixels.shape[-2:]
        padding = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(padding):
            pixels = F.pad(pixels, padding)
        tokens = self.proj(pixels).permute(0, 2, 3, 1)  # (B, H/4, W/4, C)
        return self.norm(tokens)


class PatchMerging(nn.Module):
    """2 x 2 tokens to one of twice the width. Liu et al. 2021, section 3.1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Merge; an odd side gets zeros at its end, before the norm, as in the published code.

        Args:
            tokens: `(B, H, W, C)`.

        Returns:
            `(B, ceil(H/2), ceil(W/2), 2C)`.
        """
        height, width = tokens.shape[1:3]
        if height % 2 or width % 2:
            tokens = F.pad(tokens, (0, 0, 0, width % 2, 0, height % 2))
        quarters = [tokens[:, y::2, x::2] for x in (0, 1) for y in (0, 1)]
        merged = torch.cat(quarters, dim=-1)  # (B, ceil(H/2), ceil(W/2), 4C)
        return self.reduction(self.norm(merged))


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias per offset. Section 3.2."""

    def __init__(
        self, channels: int, *, num_heads: int, window_size: int, shifted: bool, qkv_bias: bool
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.shifted = shifted
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        num_offsets = (2 * window_size - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_offsets, num_heads))

    def forward(self, tokens: Tensor, groups: tuple[WindowGroup, ...], bias: Tensor) -> Tensor:
        """Attend within each window.

        A slot of a window beyond the map holds a zero token, whose key and value are the biases of
        `qkv`; it is attended to like any other, as in the published code.

        Args:
            tokens: `(T, C)` real tokens in window order.
            groups: the windows they stand in.
            bias: `(kinds, nH, L, L)` from `bias`.

        Returns:
            `(T, C)` in the same order.
        """
        qkv = self.qkv(tokens)  # (T, 3C)
        # Not slices: their gradients would each be a matrix of all tokens, most of it zero.
        parts = qkv.split([group.stop - group.start for group in groups])
        attended = [self._attend(*pair, bias) for pair in zip(parts, groups, strict=True)]
        return self.proj(attended[0] if len(attended) == 1 else torch.cat(attended))

    def bias(self, dtype: torch.dtype) -> Tensor:
        """Terms added to the logits of each kind of window: position bias and shift mask.

        Gathered once a forward in training. In inference it is remembered until the table changes
        or the module changes its mode.

        Returns:
            `(4, nH, L, L)`, or `(1, nH, L, L)` where windows are not shifted.
        """
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or table.is_inference():
            return self._gather_bias(dtype)
        state = (table.data_ptr(), table._version, dtype)
        remembered = _inference_biases.get(table)
        if remembered is None or remembered[0] != state:
            remembered = (state, self._gather_bias(dtype).detach())
            _inference_biases[table] = remembered
        return remembered[1]

    def train(self, mode: bool = True) -> "WindowAttention":
        """Set the mode, as in `nn.Module`; the remembered bias is forgotten."""
        _inference_biases.pop(self.relative_position_bias_table, None)
        return super().train(mode)

    def _gather_bias(self, dtype: torch.dtype) -> Tensor:
        table = self.relative_position_bias_table
        index = window_table(relative_position_index, self.window_size, device=table.device)
        bias = table[index].permute(2, 0, 1)[None]  # (1, nH, L, L)
        if self.shifted:
            masks = window_table(shift_masks, self.window_size, device=table.device)  # (4, L, L)
            bias = bias + masks[:, None]  # (4, nH, L, L)
        return aligned_rows(bias.to(dtype))

    def _attend(self, qkv: Tensor, group: WindowGroup, bias: Tensor) -> Tensor:
        """`(T, 3C)` of the group's tokens to `(T, C)`."""
        length = self.window_size**2
        if group.slots is not None:
            padding = qkv.new_zeros(()) if self.qkv.bias is None else self.qkv.bias.to(qkv.dtype)
            slots = padding.expand(group.num_windows * length, qkv.shape[1])
            qkv = slots.index_copy(0, group.slots, qkv)  # (n*L, 3C)
        qkv = qkv.reshape(group.num_windows, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (n, nH, L, D)
        mask = bias[group.kind][None]  # (1, nH, L, L)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(group.num_windows * length, -1)  # (n*L, C)
        return attended if group.slots is None else attended.index_select(0, group.slots)


# Outside the modules, so that a forward changes none of them; an entry goes with its table.
_inference_biases = WeakTensorKeyDictionary()


class MLP(nn.Module):
    """Two linear maps with an activation between, per token."""

    def __init__(self, channels: int, *, hidden_channels: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.fc2 = nn.Linear(hidden_channels, channels)
        self.activation = ACTIVATIONS[activation]

    def forward(self, tokens: Tensor) -> Tensor:
        """`(T, C)` to `(T, C)`."""
        return self.fc2(self.activation(self.fc1(tokens)))


class SwinBlock(nn.Module):
    """Window attention and MLP, each with a norm before and a residual around. Eq. 3."""

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        window_size: int,
        shifted: bool,
        mlp_ratio: float,
        qkv_bias: bool,
        activation: str,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.order: TokenOrder = "shifted" if shifted else "regular"
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(
            channels,
            num_heads=num_heads,
            window_size=window_size,
            shifted=shifted,
            qkv_bias=qkv_bias,
        )
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, hidden_channels=int(channels * mlp_ratio), activation=activation)

    def forward(self, tokens: Tensor, plan: BlockPlan) -> Tensor:
        """Bring the tokens into this block's windows and work on them.

        Everything in a block but the windowing is per token, so a block can go through the map
        chunk by chunk. In CPU inference it does, in chunks that fit the cache; else in one chunk.

        Args:
            tokens: `(N, C)` in the order the plan starts from.
            plan: the geometry of their map.

        Returns:
            `(N, C)` in the order `self.order`.
        """
        bias = self.attn.bias(_compute_dtype(tokens))
        if len(plan.chunks) == 1:
            keep = self._keep(tokens, plan)
            return self._work(permute(tokens, plan.permutation), plan.chunks[0], bias, keep)
        output = torch.empty_like(tokens)
        for chunk in plan.chunks:
            span = slice(chunk.start, chunk.stop)
            moved = tokens.index_select(0, plan.permutation.index[span])
            self._work(moved, chunk, bias, None, out=output[span])
        return output

    def _work(
        self,
        tokens: Tensor,
        chunk: Chunk,
        bias: Tensor,
        keep: Tensor | None,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        attended = self.attn(self.norm1(tokens), chunk.groups, bias)
        tokens = tokens + (attended if keep is None else attended * keep[:, :1])
        mapped = self.mlp(self.norm2(tokens))
        return torch.add(tokens, mapped if keep is None else mapped * keep[:, 1:], out=out)

    def _keep(self, tokens: Tensor, plan: BlockPlan) -> Tensor | None:
        """Stochastic depth (Huang et al. 2016): `(N, 2)`, 0 or 1/p per image and branch; None:
        off."""
        if not self.training or plan.image_indices is None:
            return None
        keep_rate = 1.0 - self.drop_path
        keep = tokens.new_empty(plan.batch, 2).bernoulli_(keep_rate) / keep_rate  # (B, 2)
        return keep.index_select(0, plan.image_indices)  # (N, 2)


def permute(tokens: Tensor, permutation: Permutation) -> Tensor:
    """`(N, C)` tokens in another order; the gradient is moved back, never accumulated."""
    return _Permute.apply(tokens, permutation.index, permutation.inverse)


class _Permute(torch.autograd.Function):
    """Of a permutation the gradient is the inverse permutation, a gather as well."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        return tokens.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, inverse = ctx.saved_tensors
        return _Permute.apply(gradient, inverse, index), None, None


def chunk_tokens(tokens: Tensor) -> int | None:
    """Number of tokens that a block works on at a time; None: all."""
    if torch.is_grad_enabled() or tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    bytes_per_token = tokens.shape[1] * tokens.element_size()
    return max(_MIN_PIECE_TOKENS, _PIECE_BYTES // bytes_per_token)


def _compute_dtype(tokens: Tensor) -> torch.dtype:
    """The type that linear layers give for these tokens."""
    device = tokens.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tokens.dtype
