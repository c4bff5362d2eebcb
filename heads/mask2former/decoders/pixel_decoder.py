"""Pixel decoder: deformable attention over three levels, and a finest level for the masks.

Cheng et al. 2022, Section 3.2.1, with the encoder of Deformable DETR (Zhu et al. 2021). It works in
float32 under autocast too, as the released models were trained.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.mask2former.config import NUM_LEVELS
from swin_dense.heads.mask2former.decoders.deformable_attention import DeformableAttention, Size
from swin_dense.heads.mask2former.decoders.position_encoding import sine_encoding
from swin_dense.kernels.convolution import convolve
from swin_dense.kernels.kept_values import KeepsValues
from swin_dense.kernels.linear import linear

_NUM_GROUPS = 32  # of GroupNorm


class DecodedPixels(NamedTuple):
    """Maps that the query decoder looks at.

    Attributes:
        mask_features: `(B, M, H/4, W/4)`; a query's mask is its product with them.
        memory: `(B, H_l*W_l, C)` of strides 32, 16, 8.
        sizes: height and width of each of these.
    """

    mask_features: Tensor
    memory: tuple[Tensor, ...]
    sizes: tuple[Size, ...]


class PixelDecoder(KeepsValues):
    """From four maps of the backbone to the features of the masks and three maps for the queries.

    Args:
        in_channels: of the backbone's maps, fine to coarse.
        channels: C of everything else.
        mask_channels: M of the features of masks.
        num_heads: attention heads.
        num_layers: of the encoder.
        ffn_channels: hidden width of its feed-forward networks.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        mask_channels: int,
        num_heads: int,
        num_layers: int,
        ffn_channels: int,
    ) -> None:
        super().__init__()
        self.input_convs = nn.ModuleList(  # coarse to fine
            ProjectionNorm(before, channels, bias=True) for before in in_channels[:0:-1]
        )
        self.level_embed = nn.Parameter(torch.empty(NUM_LEVELS, channels))
        self.layers = nn.ModuleList(
            EncoderLayer(channels, num_heads=num_heads, ffn_channels=ffn_channels)
            for _ in range(num_layers)
        )
        self.lateral_conv = ProjectionNorm(in_channels[0], channels)
        self.output_conv = ProjectionNorm(channels, channels, kernel_size=3)
        self.mask_features = nn.Conv2d(channels, mask_channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial values as the released code: Xavier's, normal ones for the levels."""
        nn.init.normal_(self.level_embed)
        for module in self.modules():
            if isinstance(module, ProjectionNorm):
                module.reset_parameters()
        nn.init.kaiming_uniform_(self.mask_features.weight, a=1)
        assert self.mask_features.bias is not None
        nn.init.zeros_(self.mask_features.bias)

    def forward(self, features: Sequence[Tensor]) -> DecodedPixels:
        """Decode a pyramid `(B, C_i, H_i, W_i)` of four levels, fine to coarse."""
        levels = [level.to(self.level_embed.dtype) for level in features]
        if levels[0].is_meta:  # autocast does not know that device
            return self._decode(levels)
        with torch.autocast(levels[0].device.type, enabled=False):
            return self._decode(levels)

    def _decode(self, features: Sequence[Tensor]) -> DecodedPixels:
        finest, *others = features
        maps = [conv(level) for conv, level in zip(self.input_convs, others[::-1], strict=True)]
        sizes = tuple((level.shape[-2], level.shape[-1]) for level in maps)
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1)  # (B, S, C)
        positions = self._positions(sizes)  # (S, C)
        references = torch.cat([_centres(size, tokens.device) for size in sizes])  # (S, 2)
        for layer in self.layers:
            tokens = layer(tokens, positions, references, sizes)
        memory = tokens.split([height * width for height, width in sizes], dim=1)
        joined = memory[-1].transpose(1, 2).unflatten(2, sizes[-1])  # (B, C, H/8, W/8)
        enlarged = F.interpolate(joined, size=finest.shape[-2:], mode="bilinear")
        masks = self.output_conv(self.lateral_conv(finest) + enlarged).relu_()
        return DecodedPixels(convolve(self.mask_features, masks), memory, sizes)

    def _positions(self, sizes: Sequence[Size]) -> Tensor:
        """Places of the cells in their maps and of the maps among each other: `(S, C)`."""
        channels, device = self.level_embed.shape[1], self.level_embed.device
        return torch.cat(
            [
                sine_encoding(size, channels, device=device).to(level.dtype) + level
                for size, level in zip(sizes, self.level_embed, strict=True)
            ]
        )


class ProjectionNorm(KeepsValues):
    """Convolution and GroupNorm, without an activation."""

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, channels, kernel_size, padding=kernel_size // 2, bias=bias
        )
        self.norm = nn.GroupNorm(_NUM_GROUPS, channels)

    def reset_parameters(self) -> None:
        """Xavier's values where there is a bias, else Caffe2's of that name, as released."""
        self.norm.reset_parameters()
        if self.conv.bias is None:
            nn.init.kaiming_uniform_(self.conv.weight, a=1)
        else:
            nn.init.xavier_uniform_(self.conv.weight)
            nn.init.zeros_(self.conv.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """`(B, in_channels, H, W)` to `(B, channels, H, W)`.

        A group of a single value, of a map of one cell with as many channels as groups, is its own
        mean; `nn.GroupNorm` refuses one such image.
        """
        norm = self.norm
        maps = convolve(self.conv, maps)
        return torch.group_norm(maps, norm.num_groups, norm.weight, norm.bias, norm.eps)


class EncoderLayer(KeepsValues):
    """Deformable attention of every cell to the cells of all levels; then a network each."""

    def __init__(self, channels: int, *, num_heads: int, ffn_channels: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(channels, num_heads=num_heads, num_levels=NUM_LEVELS)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, tokens: Tensor, positions: Tensor, references: Tensor, sizes: Sequence[Size]
    ) -> Tensor:
        """`(B, S, C)` tokens at positions `(S, C)` and places `(S, 2)` to the same."""
        attended = self.self_attn(tokens + positions, tokens, references, sizes)
        tokens = self.norm1(tokens + attended)
        hidden = linear(self.linear1, tokens).relu_()
        return self.norm2(tokens + linear(self.linear2, hidden))


def _centres(size: Size, device: torch.device) -> Tensor:
    """Centres of a map's cells, (x, y) in 0..1: `(H*W, 2)` float32."""
    height, width = size
    y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
    x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).flatten(
        0, 1
    )
