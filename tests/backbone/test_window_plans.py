import pytest
import torch
from reference import pad_roll_partition

from swin_dense.windowing.window_plans import _tensors, plan_blocks, window_table
from swin_dense.windowing.windows import (
    BOTTOM,
    CORNER,
    INSIDE,
    RIGHT,
    relative_position_index,
    shift_masks,
)

CPU = torch.device("cpu")
SIZES = [(1, 1, 1), (2, 3, 5), (1, 4, 4), (3, 9, 7), (2, 8, 12)]


def plan(*sizes, orders, window=4, max_tokens=None, with_image_indices=False, **options):
    return plan_blocks(
        sizes,
        orders,
        window=window,
        device=CPU,
        max_tokens=max_tokens,
        with_image_indices=with_image_indices,
        **options,
    )


@pytest.mark.parametrize("size", SIZES)
def test_inverse_of_a_permutation_undoes_it(size):
    plans, back = plan(size, orders=["regular", "shifted", "regular"])
    tokens = torch.arange(size[0] * size[1] * size[2])
    for permutation in [*(block.permutation for block in plans), back]:
        assert torch.equal(tokens[permutation.index][permutation.inverse], tokens)


@pytest.mark.parametrize("size", SIZES)
def test_permutations_compose_to_the_papers_windows_and_back(size, generator):
    raster = torch.randn(*size, 5, generator=generator)
    (regular, shifted), back = plan(size, orders=["regular", "shifted"])
    in_regular = raster.flatten(0, 2)[regular.permutation.index]
    in_shifted = in_regular[shifted.permutation.index]
    assert torch.equal(in_shifted[back.index], raster.flatten(0, 2))
    for tokens, shift in ((in_regular, 0), (in_shifted, 2)):
        windows = pad_roll_partition(raster, window=4, shift=shift).flatten(0, 1)
        windows = windows[windows.any(dim=1)]  # without padding
        assert torch.equal(tokens.sort(dim=0).values, windows.sort(dim=0).values)
    (alone,), _ = plan(size, orders=["shifted"])
    assert torch.equal(in_shifted, raster.flatten(0, 2)[alone.permutation.index])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["regular", "shifted"])
@pytest.mark.parametrize("max_tokens", [1, 20, None])
def test_chunks_cover_every_token_once_in_order(size, order, max_tokens):
    (block,), _ = plan(size, orders=[order], max_tokens=max_tokens)
    position = 0
    num_windows = 0
    for chunk in block.chunks:
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


def test_plan_of_a_map_worked_out_by_hand():
    # The example that opens `windows.py`.
    (block,), back = plan((1, 2, 3), orders=["shifted"], window=2)
    (chunk,) = block.chunks
    bottom, corner = chunk.groups
    assert (bottom.kind, corner.kind) == (BOTTOM, CORNER)
    assert block.permutation.index[bottom.start : bottom.stop].tolist() == [4, 5, 1, 2]
    assert bottom.slots is None
    assert block.permutation.index[corner.start : corner.stop].tolist() == [3, 0]
    assert corner.slots.tolist() == [1, 3]
    assert back.index.tolist() == [5, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("sizes", [[(3, 5, 6)], [(2, 5, 6), (1, 1, 1), (1, 9, 2)]])
def test_image_indices_follow_the_order(sizes):
    (regular, shifted), _ = plan(*sizes, orders=["regular", "shifted"], with_image_indices=True)
    areas = [height * width for count, height, width in sizes for _ in range(count)]
    images = torch.arange(len(areas)).repeat_interleave(torch.tensor(areas))
    assert regular.num_images == len(areas)
    in_regular = images[regular.permutation.index]
    assert torch.equal(regular.image_indices.long(), in_regular)
    assert torch.equal(shifted.image_indices.long(), in_regular[shifted.permutation.index])


def test_image_indices_are_made_where_they_are_asked_for():
    (block,), _ = plan((3, 5, 6), orders=["regular"])
    assert block.image_indices is None


def test_tokens_of_maps_of_different_sizes_are_led_to_their_windows_and_back():
    sizes = [(2, 5, 6), (1, 1, 1), (1, 9, 2)]
    (regular, shifted), back = plan(*sizes, orders=["regular", "shifted"])
    tokens = torch.arange(79)  # map by map
    in_shifted = tokens[regular.permutation.index][shifted.permutation.index]
    assert torch.equal(in_shifted[back.index], tokens)
    (chunk,) = shifted.chunks
    for group in chunk.groups:  # each window holds tokens of one map
        slots = torch.full((group.num_windows * 16,), -1)
        places = torch.arange(len(slots)) if group.slots is None else group.slots
        slots[places] = in_shifted[group.start : group.stop]
        maps = torch.bucketize(slots, torch.tensor([30, 60, 61]), right=True)
        for window, found in zip(slots.view(-1, 16), maps.view(-1, 16), strict=True):
            assert len(found[window >= 0].unique()) == 1


def test_of_maps_of_different_sizes_the_narrow_ones_may_stay_unshifted():
    (shifted,), _ = plan((1, 4, 4), (1, 5, 5), orders=["shifted"], shift_narrow_maps=False)
    first, *others = shifted.chunks[0].groups
    assert (first.kind, first.num_windows, first.slots) == (INSIDE, 1, None)
    moved = shifted.permutation.index  # the tokens of the larger map are 16 to 40
    assert moved[first.start : first.stop].tolist() == list(range(16))
    assert [group.kind for group in others] == [INSIDE, RIGHT, BOTTOM, CORNER]
    assert moved[16:25].tolist() == [28, 29, 30, 33, 34, 35, 38, 39, 40]


def test_equal_plans_are_made_once_and_few_are_kept():
    first = plan((1, 5, 5), orders=["regular", "shifted"])
    assert plan((1, 5, 5), orders=["regular", "shifted"]) is first
    for side in range(6, 6 + 256):
        plan((1, side, 5), orders=["regular", "shifted"])
    assert plan((1, 5, 5), orders=["regular", "shifted"]) is not first


def test_bytes_of_a_plan_are_counted_once_each():
    plans = plan((1, 20, 21), orders=["regular", "shifted"] * 3, with_image_indices=True)
    tensors = list(_tensors(plans))
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    # Between raster, regular and shifted order there are six ways; the images in two orders.
    assert sum(tensor.nbytes for tensor in tensors if tensor.dtype == torch.int32) == 8 * 420 * 4


@pytest.mark.parametrize("compute", [relative_position_index, shift_masks])
def test_tables_of_a_window_are_made_once(compute):
    table = window_table(compute, 3, device=CPU)
    assert torch.equal(table, torch.from_numpy(compute(3)))
    assert window_table(compute, 3, device=CPU) is table


def test_plans_and_tables_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        (block,), _ = plan((1, 6, 11), orders=["shifted"], window=3)  # that no other test has
        table = window_table(shift_masks, 11, device=CPU)
    assert not block.permutation.index.is_inference()
    assert not table.is_inference()
