import pytest
import torch
from reference import pad_roll_partition

from swin_dense.windowing.window_plans import plan_blocks, window_table
from swin_dense.windowing.windows import BOTTOM, CORNER, relative_position_index, shift_masks

CPU = torch.device("cpu")
SIZES = [(1, 1, 1), (2, 3, 5), (1, 4, 4), (3, 9, 7), (2, 8, 12)]


def plan(size, orders, *, window=4, max_tokens=None, with_image_indices=False):
    return plan_blocks(
        (size,),
        orders,
        window=window,
        device=CPU,
        max_tokens=max_tokens,
        with_image_indices=with_image_indices,
    )


@pytest.mark.parametrize("size", SIZES)
def test_inverse_of_a_permutation_undoes_it(size):
    plans, back = plan(size, ["regular", "shifted", "regular"])
    tokens = torch.arange(size[0] * size[1] * size[2])
    for permutation in [*(block.permutation for block in plans), back]:
        assert torch.equal(tokens[permutation.index][permutation.inverse], tokens)


@pytest.mark.parametrize("size", SIZES)
def test_permutations_compose_to_the_papers_windows_and_back(size, generator):
    raster = torch.randn(*size, 5, generator=generator)
    (regular, shifted), back = plan(size, ["regular", "shifted"])
    in_regular = raster.flatten(0, 2)[regular.permutation.index]
    in_shifted = in_regular[shifted.permutation.index]
    assert torch.equal(in_shifted[back.index], raster.flatten(0, 2))
    for tokens, shift in ((in_regular, 0), (in_shifted, 2)):
        windows = pad_roll_partition(raster, window=4, shift=shift).flatten(0, 1)
        windows = windows[windows.any(dim=1)]  # without padding
        assert torch.equal(tokens.sort(dim=0).values, windows.sort(dim=0).values)
    (alone,), _ = plan(size, ["shifted"])
    assert torch.equal(in_shifted, raster.flatten(0, 2)[alone.permutation.index])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["regular", "shifted"])
@pytest.mark.parametrize("max_tokens", [1, 20, None])
def test_chunks_cover_every_token_once_in_order(size, order, max_tokens):
    (block,), _ = plan(size, [order], max_tokens=max_tokens)
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
    (block,), back = plan((1, 2, 3), ["shifted"], window=2)
    (chunk,) = block.chunks
    bottom, corner = chunk.groups
    assert (bottom.kind, corner.kind) == (BOTTOM, CORNER)
    assert block.permutation.index[bottom.start : bottom.stop].tolist() == [4, 5, 1, 2]
    assert bottom.slots is None
    assert block.permutation.index[corner.start : corner.stop].tolist() == [3, 0]
    assert corner.slots.tolist() == [1, 3]
    assert back.index.tolist() == [5, 2, 3, 4, 0, 1]


def test_image_indices_follow_the_order():
    (regular, shifted), _ = plan((3, 5, 6), ["regular", "shifted"], with_image_indices=True)
    images = torch.arange(3).repeat_interleave(30)
    in_regular = images[regular.permutation.index]
    assert torch.equal(regular.image_indices.long(), in_regular)
    assert torch.equal(shifted.image_indices.long(), in_regular[shifted.permutation.index])


def test_image_indices_are_made_where_they_are_asked_for():
    (block,), _ = plan((3, 5, 6), ["regular"])
    assert block.image_indices is None


def test_equal_plans_are_made_once_and_few_are_kept():
    first = plan((1, 5, 5), ["regular", "shifted"])
    assert plan((1, 5, 5), ["regular", "shifted"]) is first
    for side in range(6, 60):
        plan((1, side, 5), ["regular", "shifted"])
    assert plan((1, 5, 5), ["regular", "shifted"]) is not first


@pytest.mark.parametrize("compute", [relative_position_index, shift_masks])
def test_tables_of_a_window_are_made_once(compute):
    table = window_table(compute, 3, device=CPU)
    assert torch.equal(table, torch.from_numpy(compute(3)))
    assert window_table(compute, 3, device=CPU) is table


def test_plans_and_tables_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        (block,), _ = plan((1, 6, 11), ["shifted"], window=3)  # that no other test has
        table = window_table(shift_masks, 11, device=CPU)
    assert not block.permutation.index.is_inference()
    assert not table.is_inference()
