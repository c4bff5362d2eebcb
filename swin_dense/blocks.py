"""The parts of Swin Transformer and Swin-MLP: patch embedding, blocks, patch merging.

Liu et al. 2021. Tokens of all images of a batch are one `(N, C)` matrix, in one of the orders of
`windows.py`; images may differ in size, N is the sum of their tokens.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels.convolution import convolve
from swin_dense.kernels.kept_values import KeepsValues
from swin_dense.kernels.linear import linear, output_dtype
from swin_dense.kernels.processor import is_cpu_inference, processor_kind
from swin_dense.tracing import holds_always, one_node, own_size
from swin_dense.windowing.token_maps import TokenMaps
from swin_dense.windowing.traced_windows import TracedWindows
from swin_dense.windowing.window_attention import WindowAttention
from swin_dense.windowing.window_mlp import WindowMLP
from swin_dense.windowing.window_plans import BlockPlan, Chunk, Permutation, WindowGroup
from swin_dense.windowing.windows import TokenOrder

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
# Bytes of one `(tokens, C)` temporary of a block in CPU inference. Measured on two cores: with
# smaller chunks the calls take longer than what they work on, larger ones leave the cache.
_CHUNK_BYTES = 2**22 if processor_kind() == "AVX2" else 2**21
_MIN_CHUNK_TOKENS = 1024


class PatchEmbed(nn.Module):
    """Pixels to tokens: one linear map per patch, then an optional norm."""

    def __init__(
        self, *, in_channels: int, embed_dim: int, patch_size: int, patch_norm: bool
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(embed_dim) if patch_norm else nn.Identity()
        self.patch_size = patch_size

    @one_node
    def forward(self, *groups: Tensor) -> TokenMaps:
        """Embed images; zeros are added at the bottom and the right up to whole patches.

        Args:
            groups: `(B_g, 3, H_g, W_g)` float each, the images of each size.

        Returns:
            Maps `(B_g, ceil(H_g/4), ceil(W_g/4), C)`.
        """
        return TokenMaps.pack([self._embed(pixels) for pixels in groups])

    def _embed(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        if torch.compiler.is_compiling():  # the convolution leaves out what is no whole patch
            most = self.patch_size - 1
            pixels = F.pad(pixels, (0, most, 0, most))
        elif height % self.patch_size or width % self.patch_size:
            padding = (0, -width % self.patch_size, 0, -height % self.patch_size)
            pixels = F.pad(pixels, padding)
        tokens = convolve(self.proj, pixels).permute(0, 2, 3, 1)  # (B, H/4, W/4, C)
        return self.norm(_with_own_sides(tokens, (height, width), self.patch_size))


class PatchMerging(KeepsValues):
    """2 x 2 tokens to one of twice the width. Liu et al. 2021, section 3.1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    @one_node
    def forward(self, maps: TokenMaps) -> TokenMaps:
        """Merge; an odd side gets zeros at its end, before the norm, as in the published code.

        Args:
            maps: `(B_g, H_g, W_g, C)`.

        Returns:
            `(B_g, ceil(H_g/2), ceil(W_g/2), 2C)`.
        """
        limit = chunk_tokens(maps.tokens)
        if limit is None:
            merged = TokenMaps.pack([_merge(group) for group in maps.unpack()])  # (N', 4C)
            return TokenMaps(self._reduce(merged.tokens), merged.sizes)
        rows = [
            self._reduce(_merge(part).flatten(0, 2))
            for group in maps.unpack()
            for part in _row_pairs(group, limit)
        ]
        sizes = tuple((count, -(-h // 2), -(-w // 2)) for count, h, w in maps.sizes)
        return TokenMaps(rows[0] if len(rows) == 1 else torch.cat(rows), sizes)

    def _reduce(self, merged: Tensor) -> Tensor:
        """`(N', 4C)` to `(N', 2C)`."""
        return linear(self.reduction, self.norm(merged))


class OutputNorm(nn.LayerNorm):
    """Norm of a map that is given out, and its channels first.

    Hooks and tracers find the map as it is given under this module's name.
    """

    @one_node
    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., H, W, C)` to contiguous `(..., C, H, W)`; in CPU inference some rows at a time."""
        limit = chunk_tokens(tokens)
        *images, height, width, channels = tokens.shape
        if limit is None or tokens.numel() <= limit * channels:
            return self._normed(tokens).contiguous()
        rows = max(1, limit * channels * height // tokens.numel())
        output: Tensor | None = None
        for start in range(0, height, rows):
            part = self._normed(tokens[..., start : start + rows, :, :])
            if output is None:
                output = part.new_empty(*images, channels, height, width)
            output[..., start : start + rows, :] = part
        assert output is not None
        return output

    def _normed(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens).movedim(-1, -3)  # (..., C, H, W)


def _row_pairs(maps: Tensor, max_tokens: int) -> Iterator[Tensor]:
    """Parts of `(B, H, W, C)` maps in raster order: maps, or pairs of rows of one, as many as hold
    `max_tokens` tokens, at least one."""
    height, width = maps.shape[1:3]
    if height * width <= max_tokens:
        yield from maps.split(max_tokens // (height * width))
    else:
        pairs = max(1, max_tokens // (2 * width))
        for image in maps.split(1):
            yield from image.split(2 * pairs, dim=1)


def _merge(maps: Tensor) -> Tensor:
    """`(B, H, W, C)` to `(B, ceil(H/2), ceil(W/2), 4C)`."""
    height, width = maps.shape[1:3]
    if torch.compiler.is_compiling():  # no branch on the size
        maps = F.pad(maps, (0, 0, 0, 1, 0, 1))
        quarters = [maps[:, y : height + y : 2, x : width + x : 2] for x in (0, 1) for y in (0, 1)]
        return _with_own_sides(torch.cat(quarters, dim=-1), (height, width), 2)
    if height % 2 or width % 2:
        maps = F.pad(maps, (0, 0, 0, width % 2, 0, height % 2))
    return torch.cat([maps[:, y::2, x::2] for x in (0, 1) for y in (0, 1)], dim=-1)


def _with_own_sides(maps: Tensor, sides: tuple[int, int], step: int) -> Tensor:
    """`(B, ceil(H/step), ceil(W/step), C)` maps, in a graph that is exported with sides that are
    symbols of their own; those of multiples of `step` are simple as they are."""
    if not torch.compiler.is_exporting():
        return maps
    for axis, side in zip((1, 2), sides, strict=True):
        if not holds_always(side % step == 0):
            own = own_size(maps.shape[axis], images=maps.shape[0])
            maps = maps.index_select(axis, torch.arange(own, device=maps.device))
    return maps


class MLP(KeepsValues):
    """Two linear maps with an activation between, per token."""

    def __init__(self, channels: int, *, hidden_channels: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.fc2 = nn.Linear(hidden_channels, channels)
        self.activation = ACTIVATIONS[activation]

    def forward(self, tokens: Tensor) -> Tensor:
        """`(T, C)` to `(T, C)`."""
        if self.activation is F.gelu:
            return linear(self.fc2, linear(self.fc1, tokens, gelu=True))
        return linear(self.fc2, self.activation(linear(self.fc1, tokens)))


# Mixes `(T, C)` tokens within the windows that they stand in.
Mixing = Callable[[Tensor, tuple[WindowGroup, ...] | tuple[TracedWindows, ...]], Tensor]


class WindowBlock(nn.Module):
    """Mixing of tokens within windows, and MLP, each with a norm before and a residual around.

    Liu et al. 2021, Eq. 3. The layers are those of the subclasses.

    Attributes:
        order: of the tokens that it works on.
        drop_path: rate of stochastic depth, 0..1.
    """

    order: TokenOrder
    drop_path: float
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    mlp: MLP

    def mixing(self, tokens: Tensor) -> Mixing:
        """The mixing of a forward on these tokens, chunk by chunk."""
        raise NotImplementedError

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
        mix = self.mixing(tokens)
        if len(plan.chunks) == 1:
            keep = self._keep(tokens, plan)
            return self._work(permute(tokens, plan.permutation), plan.chunks[0], mix, keep)
        assert plan.permutation is not None  # only a planned way has chunks
        output = torch.empty_like(tokens)
        for chunk in plan.chunks:
            span = slice(chunk.start, chunk.stop)
            moved = tokens.index_select(0, plan.permutation.index[span])
            self._work(moved, chunk, mix, None, out=output[span])
        return output

    def _work(
        self,
        tokens: Tensor,
        chunk: Chunk,
        mix: Mixing,
        keep: Tensor | None,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        mixed = mix(self.norm1(tokens), chunk.groups)
        tokens = tokens + (mixed if keep is None else mixed * keep[:, :1])
        mapped = self.mlp(self.norm2(tokens))
        return torch.add(tokens, mapped if keep is None else mapped * keep[:, 1:], out=out)

    def _keep(self, tokens: Tensor, plan: BlockPlan) -> Tensor | None:
        """Stochastic depth (Huang et al. 2016): `(N, 2)`, 0 or 1/p per image and branch; None:
        off."""
        if not self.training or plan.image_indices is None:
            return None
        keep_rate = 1.0 - self.drop_path
        keep = tokens.new_empty(plan.num_images, 2).bernoulli_(keep_rate) / keep_rate  # (B, 2)
        return keep.index_select(0, plan.image_indices)  # (N, 2)


class SwinBlock(WindowBlock):
    """Window attention and MLP. Liu et al. 2021, Figure 3(b)."""

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
        self.order = "shifted" if shifted else "regular"
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

    def mixing(self, tokens: Tensor) -> Mixing:
        """Attention, whose bias is made once."""
        bias = self.attn.bias(output_dtype(tokens))
        return lambda chunk, groups: self.attn(chunk, groups, bias)


class SwinMLPBlock(WindowBlock):
    """Linear mixing of a window's tokens, shifted by padding, and MLP. Released `swin_mlp.py`."""

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        window_size: int,
        shifted: bool,
        mlp_ratio: float,
        activation: str,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.order = "padded" if shifted else "regular"
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(channels)
        self.spatial_mlp = WindowMLP(num_heads=num_heads, window_size=window_size)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, hidden_channels=int(channels * mlp_ratio), activation=activation)

    def mixing(self, tokens: Tensor) -> Mixing:
        """The linear map; nothing of it depends on the tokens."""
        return self.spatial_mlp


def permute(tokens: Tensor, permutation: Permutation | None) -> Tensor:
    """`(N, C)` tokens in another order; the gradient is moved back, never accumulated."""
    if permutation is None:
        return tokens
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
    if not is_cpu_inference(tokens):
        return None
    bytes_per_token = tokens.shape[-1] * tokens.element_size()
    return max(_MIN_CHUNK_TOKENS, _CHUNK_BYTES // bytes_per_token)
