import numpy as np
import pytest
import torch

from swin_dense.windows import (
    BOTTOM,
    CORNER,
    INSIDE,
    RIGHT,
    aligned_rows,
    relative_position_index,
    shift_masks,
    window_grid,
)

CPU = torch.device("cpu")
SIZES = [(1, 1, 1), (2, 3, 5), (1, 4, 4), (3, 9, 7), (2, 8, 12)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("source", "target"), [("raster", "regular"), ("regular", "shifted"), ("shifted", "raster")]
)
def test_inverse_of_a_move_undoes_it(size, source, target):
    permutation = window_grid(*size, window=4, device=CPU).permutation(source, target)
    tokens = torch.arange(size[0] * size[1] * size[2])
    assert torch.equal(tokens[permutation.index][permutation.inverse], tokens)


@pytest.mark.parametrize("size", SIZES)
def test_moves_compose(size):
    grid = window_grid(*size, window=4, device=CPU)
    tokens = torch.arange(size[0] * size[1] * size[2])
    regular = tokens[grid.permutation("raster", "regular").index]
    by_way = regular[grid.permutation("regular", "shifted").index]
    assert torch.equal(by_way, tokens[grid.permutation("raster", "shifted").index])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["regular", "shifted"])
@pytest.mark.parametrize("max_tokens", [1, 20, None])
def test_pieces_cover_every_token_once_in_order(size, order, max_tokens):
    grid = window_grid(*size, window=4, device=CPU)
    position = 0
    num_windows = 0
    for chunk in grid.chunks(order, max_tokens=max_tokens):
        assert chunk.start == position
        inner = 0
        for group in chunk.groups:
            assert group.start == inner
            slots = group.num_windows * 16 if group.slots is None else len(group.slots)
            assert group.stop - group.start == slots
            inner, num_windows = group.stop, num_windows + group.num_windows
        assert chunk.stop - chunk.start == inner
        assert max_tokens is None or inner <= max(max_tokens, 16)
        position = chunk.stop
    batch, height, width = size
    assert position == batch * height * width
    assert num_windows == batch * -(-height // 4) * -(-width // 4)


def test_windows_of_a_map_worked_out_by_hand():
    # 2 x 3 tokens, windows of 2, shift 1: the map is padded to 2 x 4; slot (r, c) of the rolled map
    # shows token (r + 1 mod 2, c + 1 mod 4); the padding column (3) comes to rolled column 2.
    grid = window_grid(1, 2, 3, window=2, device=CPU)
    permutation = grid.permutation("raster", "shifted")
    (chunk,) = grid.chunks("shifted", max_tokens=None)
    assert [group.kind for group in chunk.groups] == [BOTTOM, CORNER]
    bottom, corner = chunk.groups
    assert permutation.index[bottom.start : bottom.stop].tolist() == [4, 5, 1, 2]
    assert bottom.slots is None
    assert permutation.index[corner.start : corner.stop].tolist() == [3, 0]
    assert corner.slots.tolist() == [1, 3]


def test_windows_of_a_kind_stand_together_full_ones_first():
    grid = window_grid(2, 10, 10, window=4, device=CPU)
    (chunk,) = grid.chunks("shifted", max_tokens=None)
    kinds = [(group.kind, group.slots is not None) for group in chunk.groups]
    assert kinds == sorted(kinds)
    assert [kind for kind, _ in kinds if kind == INSIDE]
    assert {kind for kind, _ in kinds} == {INSIDE, RIGHT, BOTTOM, CORNER}


def test_image_indices_follow_the_layout():
    grid = window_grid(3, 5, 6, window=4, device=CPU)
    images = torch.arange(3).repeat_interleave(30)
    index = grid.permutation("raster", "shifted").index
    assert torch.equal(grid.image_indices("shifted").long(), images[index])


def test_relative_position_index_matches_a_loop():
    index = relative_position_index(3, CPU)
    for query in range(9):
        for key in range(9):
            rows, columns = query // 3 - key // 3 + 2, query % 3 - key % 3 + 2
            assert index[query, key] == rows * 5 + columns


@pytest.mark.parametrize("window", [2, 7, 12])
def test_shift_masks_match_the_regions_of_a_rolled_map(window):
    # A map of two windows a side, cut as the paper's Figure 4 shows, has one window of each kind.
    shift, side = window // 2, 2 * window
    part = np.digitize(np.arange(side), [side - window, side - shift])
    regions = torch.from_numpy(part[:, None] * 3 + part[None, :])
    for kind, (top, left) in enumerate(((0, 0), (0, window), (window, 0), (window, window))):
        region = regions[top : top + window, left : left + window].flatten()
        expected = (region[:, None] != region[None, :]) * -100.0
        assert torch.equal(shift_masks(window, CPU)[kind], expected)


def test_aligned_rows_keep_the_values_and_start_at_multiples_of_eight(generator):
    bias = torch.randn(4, 3, 49, 49, generator=generator)
    aligned = aligned_rows(bias)
    assert torch.equal(aligned, bias)
    assert aligned.stride(-2) % 8 == 0


def test_equal_grids_are_made_once_and_few_are_kept():
    first = window_grid(1, 5, 5, window=4, device=CPU)
    assert window_grid(1, 5, 5, window=4, device=CPU) is first
    for side in range(6, 60):
        window_grid(1, side, 5, window=4, device=CPU)
    assert window_grid.cache_info().currsize <= 32
