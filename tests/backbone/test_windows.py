import numpy as np
import pytest
import torch
from reference import pad_roll_partition

from swin_dense.windowing.windows import (
    BOTTOM,
    CORNER,
    INSIDE,
    PADDING,
    RIGHT,
    WindowRun,
    Windows,
    chunk_windows,
    cut_map,
    invert,
    join_maps,
    relative_position_index,
    shift_masks,
    sort_by_kind,
)

SIZES = [(1, 1), (3, 5), (4, 4), (9, 7), (8, 12)]


def shifted_windows(batch: int, height: int, width: int) -> Windows:
    """Of maps of one size, in the sequence of the blocks, with windows of 4."""
    return join_maps([sort_by_kind(cut_map(height, width, window=4, shift=2))] * batch)


def test_windows_of_a_map_worked_out_by_hand():
    # The example that opens `windows.py`.
    windows = cut_map(2, 3, window=2, shift=1)
    assert windows.slots.tolist() == [[4, 5, 1, 2], [PADDING, 3, PADDING, 0]]
    assert windows.kinds.tolist() == [BOTTOM, CORNER]
    assert windows.order.tolist() == [4, 5, 1, 2, 3, 0]
    assert [np.flatnonzero(row).tolist() for row in windows.occupied] == [[0, 1, 2, 3], [1, 3]]
    regular = cut_map(2, 3, window=2, shift=0)
    assert regular.order.tolist() == [0, 1, 3, 4, 2, 5]
    assert invert(regular.order)[windows.order].tolist() == [3, 5, 1, 4, 2, 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [0, 2])
def test_order_and_slots_match_the_papers_way_of_the_tokens(size, shift, generator):
    tokens = torch.randn(1, *size, 5, generator=generator)
    expected = pad_roll_partition(tokens, window=4, shift=shift)
    windows = cut_map(*size, window=4, shift=shift)
    slots = torch.zeros(windows.slots.size, 5)
    slots[np.flatnonzero(windows.occupied)] = tokens.flatten(0, 2)[windows.order]
    assert torch.equal(slots.view_as(expected), expected)


def test_joined_maps_match_the_papers_way_of_a_batch(generator):
    tokens = torch.randn(3, 9, 7, 5, generator=generator)
    windows = shifted_windows(3, 9, 7)
    cut = pad_roll_partition(tokens, window=4, shift=2)  # (18, L, C), map by map
    slots = torch.zeros_like(cut)
    slots[torch.from_numpy(windows.occupied)] = tokens.flatten(0, 2)[windows.order]
    assert sorted(slots.flatten(1).tolist()) == sorted(cut.flatten(1).tolist())


def test_tokens_of_joined_maps_are_numbered_on():
    # The second example that opens `windows.py`.
    maps = [sort_by_kind(cut_map(*size, window=2, shift=1)) for size in ((2, 3), (1, 2))]
    joined = join_maps(maps)
    assert joined.order.tolist() == [4, 5, 1, 2, 3, 0, 7, 6]
    assert joined.kinds.tolist() == [BOTTOM, CORNER, CORNER]


def test_windows_of_a_kind_stand_together_whatever_map_they_are_of():
    sizes = [(10, 13), (1, 1), (8, 8), (3, 5), (10, 13)]
    maps = [cut_map(*size, window=4, shift=2) for size in sizes]
    joined = join_maps([sort_by_kind(windows) for windows in maps])
    areas = np.array([height * width for height, width in sizes])
    firsts = np.cumsum(areas) - areas
    slots = [np.where(m.occupied, m.slots + n, PADDING) for m, n in zip(maps, firsts, strict=True)]
    one_after_the_other = Windows(np.concatenate(slots), np.concatenate([m.kinds for m in maps]))
    expected = sort_by_kind(one_after_the_other)
    assert np.array_equal(joined.slots, expected.slots)
    assert np.array_equal(joined.kinds, expected.kinds)


def test_a_map_has_windows_of_another_kind_only_at_the_far_edges():
    kinds = cut_map(10, 13, window=4, shift=2).kinds.reshape(3, 4)
    assert kinds.tolist() == [
        [INSIDE, INSIDE, INSIDE, RIGHT],
        [INSIDE, INSIDE, INSIDE, RIGHT],
        [BOTTOM, BOTTOM, BOTTOM, CORNER],
    ]
    assert not cut_map(10, 13, window=4, shift=0).kinds.any()


def test_windows_of_a_kind_stand_together_full_ones_first():
    windows = shifted_windows(2, 10, 10)
    pairs = list(zip(windows.kinds.tolist(), (~windows.is_full).tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert {kind for kind, _ in pairs} == {INSIDE, RIGHT, BOTTOM, CORNER}


def test_sorting_moves_whole_windows_and_no_more_than_it_must():
    windows = Windows(np.array([[5], [PADDING], [0], [1], [2]]), np.array([2, 0, 2, 0, 0]))
    moved = sort_by_kind(windows)
    assert moved.slots.ravel().tolist() == [1, 2, PADDING, 5, 0]
    assert moved.kinds.tolist() == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("size", SIZES)
def test_an_order_holds_every_token_once(size):
    order = shifted_windows(2, *size).order
    assert sorted(order.tolist()) == list(range(2 * size[0] * size[1]))


def test_invert_undoes_a_permutation():
    permutation = np.array([2, 0, 3, 1])
    assert permutation[invert(permutation)].tolist() == [0, 1, 2, 3]
    assert invert(permutation)[permutation].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("max_tokens", [1, 20, None])
def test_chunks_cover_every_window_once_in_order(size, max_tokens):
    windows = shifted_windows(2, *size)
    position = 0
    for runs in chunk_windows(windows, max_tokens=max_tokens):
        first = runs[0].first
        for run in runs:
            assert run.first == position < run.stop
            assert set(windows.kinds[run.first : run.stop]) == {run.kind}
            assert set(windows.is_full[run.first : run.stop]) == {run.is_full}
            position = run.stop
        num_tokens = windows.num_tokens[first:position].sum()
        assert max_tokens is None or position - first == 1 or num_tokens <= max_tokens
    assert position == len(windows.kinds)


def test_without_a_limit_there_is_one_chunk_of_all_runs():
    windows = shifted_windows(1, 10, 10)
    assert chunk_windows(windows, max_tokens=None) == [windows.runs]


def test_runs_end_where_the_kind_or_the_padding_changes():
    windows = Windows(
        np.array([[0, 1], [2, 3], [4, PADDING], [5, PADDING], [6, PADDING]]),
        np.array([INSIDE, INSIDE, INSIDE, INSIDE, CORNER]),
    )
    assert windows.runs == [
        WindowRun(INSIDE, True, 0, 2),
        WindowRun(INSIDE, False, 2, 4),
        WindowRun(CORNER, False, 4, 5),
    ]


def test_relative_position_index_matches_a_loop():
    index = relative_position_index(3)
    for query in range(9):
        for key in range(9):
            rows, columns = query // 3 - key // 3 + 2, query % 3 - key % 3 + 2
            assert index[query, key] == rows * 5 + columns


@pytest.mark.parametrize("window", [2, 7, 12])
def test_shift_masks_match_the_regions_of_a_rolled_map(window):
    # A map of two windows a side, cut as the paper's Figure 4 shows, has one window of each kind.
    shift, side = window // 2, 2 * window
    part = np.digitize(np.arange(side), [side - window, side - shift])
    regions = part[:, None] * 3 + part[None, :]
    for kind, (top, left) in enumerate(((0, 0), (0, window), (window, 0), (window, window))):
        region = regions[top : top + window, left : left + window].ravel()
        expected = (region[:, None] != region[None, :]) * np.float32(-100.0)
        assert np.array_equal(shift_masks(window)[kind], expected)
