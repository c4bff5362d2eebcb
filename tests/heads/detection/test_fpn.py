"""Feature pyramid on hand-worked maps."""

import torch

from swin_dense.heads.detection.fpn import FPN


def identity_fpn(num_levels: int) -> FPN:
    """A pyramid of one channel whose convolutions pass their input on."""
    fpn = FPN([1] * num_levels, channels=1)
    for conv in (*fpn.lateral_convs, *fpn.fpn_convs):
        conv.conv.weight.data.zero_()
        centre = conv.conv.kernel_size[0] // 2
        conv.conv.weight.data[0, 0, centre, centre] = 1
        conv.conv.bias.data.zero_()
    return fpn


def test_coarse_levels_are_enlarged_to_nearest_neighbours_and_added() -> None:
    fine, coarse = torch.zeros(1, 1, 3, 4), torch.tensor([[[[1.0, 2], [3, 4]]]])
    levels = identity_fpn(2)([fine, coarse])
    expected = [[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]]
    assert levels[0][0, 0].tolist() == expected
    assert levels[1][0, 0].tolist() == [[1, 2], [3, 4]]


def test_the_extra_level_is_every_second_cell() -> None:
    maps = torch.arange(15.0).view(1, 1, 3, 5)
    assert identity_fpn(1)([maps])[-1][0, 0].tolist() == [[0, 2, 4], [10, 12, 14]]


def test_shapes_for_odd_sizes_and_a_gradient_for_each_parameter(generator: torch.Generator) -> None:
    fpn = FPN((4, 8, 16, 32), channels=6)
    sizes = [(9, 7), (5, 4), (3, 2), (2, 1)]
    features = [
        torch.randn(2, c, *size, generator=generator)
        for c, size in zip((4, 8, 16, 32), sizes, strict=True)
    ]
    levels = fpn(features)
    assert [tuple(level.shape) for level in levels] == [(2, 6, *size) for size in (*sizes, (1, 1))]
    sum(level.square().mean() for level in levels).backward()
    assert all(p.grad.abs().sum() > 0 for p in fpn.parameters())


def test_names_are_the_published_ones() -> None:
    assert set(FPN((4, 8), channels=6).state_dict()) == {
        f"{part}.{i}.conv.{kind}"
        for part in ("lateral_convs", "fpn_convs")
        for i in (0, 1)
        for kind in ("weight", "bias")
    }
