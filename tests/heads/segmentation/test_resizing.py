"""Resizing by rows, and the convolution of a resized map at its own size."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.segmentation.resizing import (
    convolve_resized,
    interpolation_matrix,
    mix_rows,
    pool_maps,
    resize_maps,
    resize_rows,
    source_range,
)

SIZES = [
    ((5, 7), (19, 28)),
    ((8, 9), (5, 4)),
    ((3, 1), (12, 1)),
    ((1, 1), (6, 5)),
    ((4, 5), (4, 5)),
]


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def row_ranges(height: int, step: int = 3) -> list[tuple[int, int]]:
    return [(top, min(top + step, height)) for top in range(0, height, step)]


@pytest.mark.parametrize(("size", "new_size"), SIZES)
def test_rows_equal_those_of_the_whole_map_resized_in_two_steps(size, new_size, generator):
    maps = torch.randn(2, 3, *size, generator=generator)
    between = (size[0] + 2, 2 * size[1])
    expected = enlarge(enlarge(maps, between), new_size)
    for rows in [*row_ranges(new_size[0]), (0, new_size[0])]:
        actual = resize_rows(maps, [between, new_size], rows)
        torch.testing.assert_close(actual, expected[:, :, slice(*rows)], rtol=0, atol=2e-6)


@pytest.mark.parametrize(("size", "new_size"), SIZES)
def test_convolution_at_the_small_size_equals_resizing_first(size, new_size, generator):
    maps = torch.randn(2, 6, *size, generator=generator)
    weight = torch.randn(4, 6, 3, 3, generator=generator)
    expected = F.conv2d(enlarge(maps, new_size), weight, padding=1)
    for rows in [*row_ranges(new_size[0]), (0, new_size[0])]:
        actual = convolve_resized(maps, weight, new_size, rows)
        torch.testing.assert_close(actual, expected[:, :, slice(*rows)], rtol=0, atol=2e-5)


def test_convolution_of_wide_maps_is_put_together_from_pieces(generator):
    maps = torch.randn(1, 2, 3, 301, generator=generator)
    weight = torch.randn(3, 2, 3, 3, generator=generator)
    expected = F.conv2d(enlarge(maps, (6, 602)), weight, padding=1)
    actual = convolve_resized(maps, weight, (6, 602), (0, 6))
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)


def test_gradients_equal_those_of_resizing_first(generator):
    maps = torch.randn(1, 2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    ours = convolve_resized(maps, weight, (6, 8), (0, 6)).square().sum()
    theirs = F.conv2d(enlarge(maps, (6, 8)), weight, padding=1).square().sum()
    for actual, expected in zip(
        torch.autograd.grad(ours, [maps, weight]),
        torch.autograd.grad(theirs, [maps, weight]),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_interpolation_matrix_by_hand():
    # Twice as many samples: centres lie a quarter and three quarters between the old ones.
    matrix = interpolation_matrix(2, 4, (0, 4), like=torch.zeros(1))
    expected = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize(("num_in", "num_out"), [(3, 11), (11, 3), (5, 5), (1, 4), (7, 8)])
def test_no_weight_lies_outside_the_source_range(num_in, num_out):
    for outputs in row_ranges(num_out, step=2):
        matrix = interpolation_matrix(num_in, num_out, outputs, like=torch.zeros(1))
        low, high = source_range(outputs, num_in, num_out)
        assert matrix[:, low:high].sum(dim=1).sub(1).abs().max() < 1e-5


def test_maps_of_the_wanted_size_are_not_copied():
    maps = torch.zeros(1, 1, 2, 3)
    assert resize_maps(maps, (2, 3)) is maps


def test_mix_rows_combines_rows_of_every_channel():
    maps = torch.arange(12.0).view(1, 2, 3, 2)
    mixed = mix_rows(torch.tensor([[1.0, 0.0, 1.0]]), maps)
    assert torch.equal(mixed, maps[:, :, :1] + maps[:, :, 2:])


@pytest.mark.parametrize("cells", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (6, 6), (16, 21), (7, 47)])
def test_pooling_by_matrices_is_adaptive_average_pooling(size, cells, generator):
    maps = torch.randn(2, 3, *size, generator=generator)
    expected = nn.AdaptiveAvgPool2d(cells)(maps)
    torch.testing.assert_close(pool_maps(maps, cells), expected, rtol=1e-5, atol=1e-6)
