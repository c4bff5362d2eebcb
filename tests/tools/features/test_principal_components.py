"""Principal components of maps: values worked by hand, colours, cosines."""

import numpy as np
import pytest

from swin_dense.tools.features.principal_components import (
    as_colours,
    as_directions,
    principal_components,
)


def test_components_are_the_axes_along_which_cells_differ() -> None:
    # Cells differ by 4 along (1, 1, 0) / sqrt(2) and by 1 along the third axis.
    along, across = np.array([1, 1, 0]) / np.sqrt(2), np.array([0, 0, 1])
    places = np.array([[[-2, 0], [2, 0]], [[0, -0.5], [0, 0.5]], [[6, 0], [-6, 0]]])
    cells = 7 + places[..., :1] * along + places[..., 1:] * across  # (3, 2, C)
    maps = [cells[:2].transpose(2, 0, 1), cells[2:].transpose(2, 0, 1)]  # (C, 2, 2), (C, 1, 2)
    one, two = principal_components(maps, count=2)
    assert (one.shape, two.shape) == ((2, 2, 2), (1, 2, 2))
    found = np.concatenate([one, two])
    np.testing.assert_allclose(np.abs(found[..., 0]), np.abs(places[..., 0]), atol=1e-6)
    np.testing.assert_allclose(np.abs(found[..., 1]), np.abs(places[..., 1]), atol=1e-6)


def test_the_sign_follows_from_the_features() -> None:
    maps = np.array([0.0, 0.0, 0.0, 9.0]).reshape(1, 2, 2)
    (part,) = principal_components([maps], count=1)
    assert part[1, 1, 0] > 0
    (mirrored,) = principal_components([-maps], count=1)
    np.testing.assert_allclose(mirrored, part)


def test_missing_components_are_zero() -> None:
    maps = np.random.default_rng(0).standard_normal((2, 4, 5))
    (part,) = principal_components([maps], count=5)
    assert part.shape == (4, 5, 5)
    assert not part[..., 2:].any()
    assert part[..., :2].any(axis=(0, 1)).all()


def test_colours_share_a_scale_and_grey_is_no_difference() -> None:
    one = np.zeros((1, 2, 4), np.float32)
    one[0, :, 0] = -1, 1
    one[0, :, 1] = 5, 3
    two = np.zeros((1, 1, 4), np.float32)
    two[..., 0], two[..., 1] = 0, 4
    colours = as_colours([one, two])
    np.testing.assert_allclose(colours[0][0], [[0, 255, 128], [255, 0, 128]], atol=1)
    np.testing.assert_allclose(colours[1][0, 0], [128, 128, 128], atol=1)


def test_products_of_directions_are_cosines() -> None:
    source = np.random.default_rng(0)
    maps = source.standard_normal((3, 4, 24)).astype(np.float32)
    maps[0, 0] = 0
    (directions,) = as_directions([maps])
    assert directions.dtype == np.int8
    cells, exact = directions.reshape(12, 24).astype(float), maps.reshape(12, 24)
    lengths = np.linalg.norm(exact, axis=1).clip(1e-9)
    cosines = exact @ exact.T / lengths / lengths[:, None]
    np.testing.assert_allclose(cells @ cells.T / 127**2, cosines, atol=0.03)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (8, 2, 1)])
def test_a_single_cell_is_grey(shape: tuple[int, int, int]) -> None:
    components = principal_components([np.ones(shape)], count=24)
    (colours,) = as_colours(components)
    assert (colours == 128).all()
