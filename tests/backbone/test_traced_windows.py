"""The traced way through the windows gives what the planned way gives, at any size."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import swin_dense as sd
from swin_dense.windowing.traced_windows import (
    trace_relative_position_index,
    trace_shift_masks,
    trace_windows,
)
from swin_dense.windowing.windows import (
    BOTTOM,
    CORNER,
    PADDING,
    cut_map,
    relative_position_index,
    shift_masks,
)

CPU = torch.device("cpu")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # other orders of the same sums


def make_backbone(**changes) -> sd.SwinTransformer:
    torch.manual_seed(0)
    config = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "out_indices": (0, 1)}
    backbone = sd.SwinTransformer(sd.SwinConfig(**{**config, "window_size": 3, **changes}))
    with torch.no_grad():
        for parameter in backbone.parameters():  # no bias shall be zero by chance
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return backbone


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch):
    """Call a module as a tracer would, with numbers instead of symbols."""

    def call(module, *inputs):
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            return module(*inputs)

    return call


def test_the_worked_example_is_what_is_computed() -> None:
    windows = trace_windows((1, 2, 3), window=2, shift=1, device=CPU)
    assert windows.slots.tolist() == [4, 5, 1, 2, 6, 3, 6, 0, *[6] * 4]
    assert windows.places.tolist() == [7, 2, 3, 5, 0, 1]
    assert windows.kinds.tolist()[:2] == [BOTTOM, CORNER]
    assert windows.num_windows == 3


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (2, 15), (8, 6), (14, 21), (20, 1)])
def test_windows_are_those_that_the_paper_cuts(size: tuple[int, int], shift: int) -> None:
    windows = trace_windows((2, *size), window=7, shift=shift, device=CPU)
    expected = cut_map(*size, window=7, shift=shift)
    slots = torch.from_numpy(expected.slots).flatten().long()
    num_tokens = size[0] * size[1]
    assert torch.equal(windows.slots[:-49], slots.masked_fill(slots == PADDING, num_tokens))
    assert windows.slots[-49:].eq(num_tokens).all()  # the empty window
    if shift:
        assert windows.kinds.tolist()[:-1] == expected.kinds.tolist()
    assert windows.kinds.max() <= CORNER
    assert torch.equal(windows.slots[windows.places], torch.arange(num_tokens))


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (2, 15), (8, 6), (8, 9), (20, 7)])
def test_narrow_maps_are_shifted_only_where_that_is_asked_for(size: tuple[int, int]) -> None:
    shift = 3 if min(size) > 7 else 0
    expected = trace_windows((2, *size), window=7, shift=shift, device=CPU)
    windows = trace_windows((2, *size), window=7, shift=3, shift_narrow_maps=False, device=CPU)
    assert torch.equal(windows.slots, expected.slots)
    assert torch.equal(windows.places, expected.places)
    assert torch.equal(windows.kinds, expected.kinds * (shift > 0))


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 50), (12, 12), (24, 25), (29, 31), (32, 32), (47, 24), (60, 7), (61, 83)]
)
def test_the_traced_way_gives_what_the_planned_way_gives(size, traced, generator) -> None:
    backbone = make_backbone().eval()
    pixels = torch.randn(2, 3, *size, generator=generator)
    with torch.no_grad():
        for maps, expected in zip(traced(backbone, pixels), backbone(pixels), strict=True):
            torch.testing.assert_close(maps, expected, **CLOSE)


def test_the_traced_way_leaves_narrow_maps_unshifted(traced, generator) -> None:
    backbone = make_backbone(shift_narrow_maps=False).eval()
    for size in [(12, 12), (40, 50), (24, 60)]:  # both levels, none, the second
        pixels = torch.randn(2, 3, *size, generator=generator)
        with torch.no_grad():
            for maps, expected in zip(traced(backbone, pixels), backbone(pixels), strict=True):
                torch.testing.assert_close(maps, expected, **CLOSE)


def test_images_of_different_sizes_take_the_traced_way_together(traced, generator) -> None:
    backbone = make_backbone(qkv_bias=False).eval()
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in [(20, 33), (40, 9)]]
    batch = sd.batch_images(images)
    with torch.no_grad():
        for maps, expected in zip(traced(backbone, batch), backbone(batch), strict=True):
            torch.testing.assert_close(maps, expected, **CLOSE)


def test_gradients_are_those_of_the_planned_way(traced, generator) -> None:
    pixels = torch.randn(1, 3, 30, 41, generator=generator)
    gradients = []
    for call in (traced, lambda module, inputs: module(inputs)):
        backbone = make_backbone().train()
        sum(maps.square().mean() for maps in call(backbone, pixels)).backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_drop_path_drops_whole_images_on_the_traced_way(traced) -> None:
    backbone = make_backbone(drop_path_rate=0.9, depths=(2,), num_heads=(1,), out_indices=(0,))
    pixels = torch.randn(1, 3, 8, 8).expand(32, 3, 8, 8)
    (maps,) = traced(backbone.train(), pixels)
    kinds = torch.unique(maps.detach().flatten(1).round(decimals=3), dim=0)
    assert 2 <= len(kinds) <= 4  # of the second block neither branch, one, the other, or both


@pytest.mark.slow
def test_ten_sizes_cost_at_most_two_compilations_of_one_graph_each(generator) -> None:
    backbone = make_backbone(depths=(2,), num_heads=(1,), out_indices=(0,)).eval()
    counter = CompileCounter()  # a backend that runs what was traced as it is
    compiled = torch.compile(backbone, backend=counter, fullgraph=True, dynamic=True)
    sides = [(33, 50), (64, 64), (32, 57), (80, 40), (10, 12), (65, 66), (48, 48), (29, 31)]
    with torch.no_grad():
        for size in [*sides, (100, 7), (12, 96)]:  # of one window, of one row of windows, of many
            pixels = torch.randn(1, 3, *size, generator=generator)
            for maps, expected in zip(compiled(pixels), backbone(pixels), strict=True):
                torch.testing.assert_close(maps, expected, **CLOSE)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_tables_of_a_window_are_those_of_the_planned_way(window: int) -> None:
    index = trace_relative_position_index(window, device=CPU)
    assert torch.equal(index, torch.from_numpy(relative_position_index(window)))
    masks = trace_shift_masks(window, device=CPU)
    assert torch.equal(masks, torch.from_numpy(shift_masks(window)))


@pytest.mark.parametrize("shifted", [False, True])
def test_a_constant_bias_is_the_gathered_one(shifted: bool) -> None:
    block = make_backbone().layers[0].blocks[int(shifted)]
    assert block.attn.shifted == shifted
    gathered = block.attn.bias(torch.float32)
    with block.attn.constant_bias():
        assert torch.equal(block.attn.bias(torch.float32), gathered)
        assert not block.attn.bias(torch.float32).requires_grad
    assert block.attn.bias(torch.float32).requires_grad


def test_tracing_leaves_nothing_behind_that_eager_inference_reads(generator) -> None:
    backbone = make_backbone(depths=(2,), num_heads=(1,), out_indices=(0,), window_size=5).eval()
    pixels = torch.randn(1, 3, 24, 24, generator=generator)
    with torch.no_grad():
        torch.export.export(backbone, (pixels,), strict=False)  # before anything is kept
        (maps,) = backbone(pixels)
    assert type(maps) is torch.Tensor
    assert torch.isfinite(maps).all()
