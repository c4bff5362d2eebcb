"""Multi-scale deformable attention in plain PyTorch (Zhu et al. 2021, Section 4.1, Eq. 3).

Each query looks, per head and level, at a few points around its own place and takes the weighted
mean of the values there:

    head h of query q = sum over levels l and points p of A[q,h,l,p] * V[l,h](x_q + d[q,h,l,p]),

V between cells being bilinear and 0 beyond the map. The offsets d, in cells of level l, and the
weights A, which sum to 1 over levels and points together, are linear in the query.

On the CPU the sum is one `embedding_bag`: the values of a head are rows of a table, and a bag has
the four corners of each of its points with their weights (`weighted_rows.py`). So no sampled value
is ever in memory, and rows are read as a whole. Elsewhere it is a `grid_sample` for each level.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.mask2former.decoders.weighted_rows import sum_rows
from swin_dense.kernels.kept_values import KeepsValues
from swin_dense.kernels.linear import linear

Size = tuple[int, int]

NUM_POINTS = 4
"""Points per head and level, in all released models."""


class DeformableAttention(KeepsValues):
    """Attention to a few points of several maps.

    Args:
        channels: C of queries, values and results.
        num_heads: heads nH.
        num_levels: maps.
        num_points: points of each head in each map.
    """

    def __init__(
        self, channels: int, *, num_heads: int, num_levels: int, num_points: int = NUM_POINTS
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(channels, samples * 2)
        self.attention_weights = nn.Linear(channels, samples)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let head h look in direction h, point p p cells away, and at all points alike."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.attention_weights.bias)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)  # (nH, 2)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1)[:, None]  # (points, 1)
        offsets = directions[:, None, None] * steps  # (nH, 1, points, 2)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(
                offsets.expand(-1, self.num_levels, -1, -1).reshape(-1)
            )

    def forward(
        self, queries: Tensor, tokens: Tensor, references: Tensor, sizes: Sequence[Size]
    ) -> Tensor:
        """Look around each query.

        Args:
            queries: `(B, T, C)`.
            tokens: `(B, S, C)`: the cells of all maps, map by map and row by row.
            references: `(T, 2)` place of each query, (x, y) in 0..1 of any map.
            sizes: height and width of each map; S cells together.

        Returns:
            `(B, T, C)`.
        """
        batch, num_queries, channels = queries.shape
        shape = batch, num_queries, self.num_heads, self.num_levels, self.num_points
        offsets = linear(self.sampling_offsets, queries).view(*shape, 2)
        weights = linear(self.attention_weights, queries).view(*shape[:3], -1).softmax(-1)
        values = linear(self.value_proj, tokens).view(
            batch, -1, self.num_heads, channels // self.num_heads
        )
        sampled = sample_values(values, references, offsets, weights.view(shape), sizes)
        return linear(self.output_proj, sampled)  # (B, T, C)


def sample_values(
    values: Tensor, references: Tensor, offsets: Tensor, weights: Tensor, sizes: Sequence[Size]
) -> Tensor:
    """Weighted sums of the values at points of several maps; the formula at the top of this file.

    Args:
        values: `(B, S, nH, D)`: the cells of all maps, map by map and row by row.
        references: `(T, 2)`, (x, y) in 0..1 of any map.
        offsets: `(B, T, nH, levels, points, 2)`, (x, y) in cells.
        weights: `(B, T, nH, levels, points)`.
        sizes: height and width of each map.

    Returns:
        `(B, T, nH*D)` in the type of `values`. Points are placed in float32 or better: half
        precision does not tell the cells of a map apart.
    """
    dtype = torch.promote_types(values.dtype, torch.float32)
    inputs = values.to(dtype), references.to(dtype), offsets.to(dtype), weights.to(dtype)
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    sample = sample_by_rows if values.device.type == "cpu" and not is_traced else sample_by_grid
    return sample(*inputs, sizes).to(values.dtype)


def sample_by_grid(
    values: Tensor, references: Tensor, offsets: Tensor, weights: Tensor, sizes: Sequence[Size]
) -> Tensor:
    """`sample_values` by a `grid_sample` for each level."""
    batch, num_queries, num_heads = weights.shape[:3]
    maps = values.split([height * width for height, width in sizes], dim=1)
    total = None
    for level, (height, width) in enumerate(sizes):
        table = maps[level].permute(0, 2, 3, 1).reshape(batch * num_heads, -1, height, width)
        x = 2 * references[:, None, None, 0] - 1 + offsets[:, :, :, level, :, 0] * (2 / width)
        y = 2 * references[:, None, None, 1] - 1 + offsets[:, :, :, level, :, 1] * (2 / height)
        grid = torch.stack([x, y], -1).transpose(1, 2).flatten(0, 1)  # (B*nH, T, points, 2)
        sampled = F.grid_sample(table, grid, align_corners=False)  # (B*nH, D, T, points)
        share = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)  # (B*nH, T, points)
        part = (sampled * share[:, None]).sum(-1)  # (B*nH, D, T)
        total = part if total is None else total + part
    assert total is not None
    return total.view(batch, -1, num_queries).transpose(1, 2)  # (B, T, nH*D)


def sample_by_rows(
    values: Tensor, references: Tensor, offsets: Tensor, weights: Tensor, sizes: Sequence[Size]
) -> Tensor:
    """`sample_values` by one `embedding_bag`."""
    batch, num_cells, num_heads, head_channels = values.shape
    heights, widths = torch.tensor(sizes, dtype=torch.int32).T[..., None]  # (levels, 1) each
    areas = heights * widths
    starts = areas.cumsum(0, dtype=torch.int32) - areas
    left, right, *columns = _cells_beside(
        references[:, None, None, :1] * widths - 0.5 + offsets[..., 0], widths
    )
    above, below, *lines = _cells_beside(
        references[:, None, None, 1:] * heights - 0.5 + offsets[..., 1], heights
    )  # (B, T, nH, levels, points) each
    above, below = above * weights, below * weights
    lines = [line * widths + starts for line in lines]
    rows = [line + column for line in lines for column in columns]
    shares = [above * left, above * right, below * left, below * right]
    heads = torch.arange(num_heads, dtype=torch.int32)[:, None]  # (nH, 1)
    images = torch.arange(batch, dtype=torch.int32).view(-1, 1, 1, 1) * (num_cells * num_heads)
    cells = torch.cat([row.flatten(3) for row in rows], dim=-1) * num_heads + (heads + images)
    sums = sum_rows(
        values.flatten(0, 2),  # (B*S*nH, D)
        cells.flatten(0, 2),  # (B*T*nH, 4*levels*points)
        torch.cat([share.flatten(3) for share in shares], dim=-1).flatten(0, 2),
    )  # (B*T*nH, D)
    return sums.view(batch, -1, num_heads * head_channels)  # (B, T, nH*D)


def _cells_beside(places: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of the cell before a place and of the one after it along an axis, and both cells.

    Places are in cells from the centre of the first. Cells, int32, are within the map; weights of
    those beyond it are 0.
    """
    floor = places.detach().floor()
    after = places - floor
    # Whole numbers first: what is not finite has a place in the map then, too.
    before_cell = floor.int()
    after_cell = before_cell + 1
    last = lengths - 1
    first, second = before_cell.clamp(0).minimum(last), after_cell.clamp(0).minimum(last)
    return (1 - after) * (first == before_cell), after * (second == after_cell), first, second
