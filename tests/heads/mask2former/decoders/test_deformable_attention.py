"""Deformable attention: both ways to sample, against loops over all that is summed."""

import math

import pytest
import torch
from torch import Tensor

from swin_dense.heads.mask2former.decoders.deformable_attention import (
    DeformableAttention,
    sample_by_grid,
    sample_by_rows,
    sample_values,
)

SIZES = ((2, 3), (4, 5), (1, 1))
BATCH, QUERIES, HEADS, CHANNELS, POINTS = 2, 3, 2, 4, 2
CELLS = sum(height * width for height, width in SIZES)


@pytest.fixture
def inputs(generator: torch.Generator) -> tuple[Tensor, ...]:
    """Values, references, offsets that reach beyond the maps, and weights; float64."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    values = draw(BATCH, CELLS, HEADS, CHANNELS)
    offsets = 8 * draw(BATCH, QUERIES, HEADS, len(SIZES), POINTS, 2) - 4
    weights = draw(BATCH, QUERIES, HEADS, len(SIZES), POINTS)
    return values, draw(QUERIES, 2), offsets, weights


def sample_slowly(values: Tensor, references: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """The formula, number by number."""
    result = torch.zeros(BATCH, QUERIES, HEADS, CHANNELS, dtype=values.dtype)
    starts = [0, 6, 26]
    for b, q, h, p in torch.cartesian_prod(
        *(torch.arange(n) for n in (BATCH, QUERIES, HEADS, POINTS))
    ).tolist():
        for level, (height, width) in enumerate(SIZES):
            x = float(references[q, 0] * width + offsets[b, q, h, level, p, 0]) - 0.5
            y = float(references[q, 1] * height + offsets[b, q, h, level, p, 1]) - 0.5
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        share = (1 - abs(y - row)) * (1 - abs(x - column))
                        value = values[b, starts[level] + row * width + column, h]
                        result[b, q, h] += weights[b, q, h, level, p] * share * value
    return result.flatten(2)


@pytest.mark.parametrize("sample", [sample_by_grid, sample_by_rows, sample_values])
def test_sampling_is_the_formula(sample, inputs: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(sample(*inputs, SIZES), sample_slowly(*inputs))


def test_both_ways_to_sample_have_the_same_gradients(inputs: tuple[Tensor, ...]) -> None:
    gradients = []
    for sample in (sample_by_grid, sample_by_rows):
        values, references, offsets, weights = (part.clone().requires_grad_() for part in inputs)
        total = (sample(values, references.detach(), offsets, weights, SIZES) ** 2).sum()
        gradients.append(torch.autograd.grad(total, (values, offsets, weights)))
    torch.testing.assert_close(*gradients)


def test_offsets_that_are_not_finite_break_nothing(inputs: tuple[Tensor, ...]) -> None:
    values, references, offsets, weights = inputs
    offsets[0, 0, 0, 0, 0] = torch.tensor([torch.nan, torch.inf])
    offsets[0, 1, 0, 0, 0] = -1e30
    assert sample_by_rows(values, references, offsets, weights, SIZES).shape == (2, 3, 8)


def test_heads_look_in_eight_directions_at_first() -> None:
    layer = DeformableAttention(16, num_heads=8, num_levels=3)
    offsets = layer.sampling_offsets.bias.view(8, 3, 4, 2)
    torch.testing.assert_close(offsets[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]]))
    torch.testing.assert_close(offsets[3, 2, 1], torch.tensor([-2.0, 2]))
    assert not layer.attention_weights.weight.any()


def test_half_precision_is_sampled_in_float32(inputs: tuple[Tensor, ...]) -> None:
    halves = [part.to(torch.bfloat16) for part in inputs]
    result = sample_values(*halves, SIZES)
    assert result.dtype == torch.bfloat16
    expected = sample_slowly(*(part.double() for part in halves))
    torch.testing.assert_close(result.double(), expected, rtol=1e-2, atol=1e-2)
