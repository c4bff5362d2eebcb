"""Tokens of all images of a batch as one matrix, map by map."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.windowing.window_plans import MapSizes


class TokenMaps(NamedTuple):
    """Maps of the images of a batch, those of one size together.

    Attributes:
        tokens: `(N, C)`, map by map, each in raster order.
        sizes: of the maps.
    """

    tokens: Tensor
    sizes: MapSizes

    @classmethod
    def pack(cls, maps: Sequence[Tensor]) -> "TokenMaps":
        """Join maps `(B_g, H_g, W_g, C)` of each size; those of a single size are not copied."""
        sizes = tuple(_size(group) for group in maps)
        rows = [group.flatten(0, 2) for group in maps]  # (B_g*H_g*W_g, C) each
        return cls(rows[0] if len(rows) == 1 else torch.cat(rows), sizes)

    def unpack(self) -> list[Tensor]:
        """Maps `(B_g, H_g, W_g, C)` of each size, views."""
        if len(self.sizes) == 1:  # whose gradient a split would copy
            return [self.tokens.unflatten(0, self.sizes[0])]
        parts = self.tokens.split([count * height * width for count, height, width in self.sizes])
        return [part.unflatten(0, size) for part, size in zip(parts, self.sizes, strict=True)]


def _size(maps: Tensor) -> tuple[int, int, int]:
    """Number, height and width of `(B, H, W, C)` maps; symbols in a traced graph."""
    count, height, width = maps.shape[:3]
    if torch.compiler.is_compiling():
        return count, height, width
    return int(count), int(height), int(width)
