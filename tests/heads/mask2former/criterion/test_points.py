"""Points of training: values there, their order and number."""

import torch

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.criterion.points import (
    choose_uncertain,
    draw_points,
    sample_bitmaps,
    sample_features,
    sample_maps,
)

CONFIG = Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_t"], num_points=8)
CPU = torch.device("cpu")


def test_a_map_has_its_own_values_at_the_centres_of_its_cells() -> None:
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    points = torch.tensor([[[1 / 6, 1 / 4], [5 / 6, 3 / 4], [1 / 2, 1 / 2]]])
    torch.testing.assert_close(sample_maps(maps, points), torch.tensor([[[0.0, 5, 2.5]]]))


def test_features_are_sampled_as_maps(generator: torch.Generator) -> None:
    features = torch.randn(6, 3, 5, generator=generator)
    points = torch.rand(40, 2, generator=generator)
    points[:4] = torch.tensor([[0.0, 0], [1, 1], [0, 1], [0.5, 0.5]])
    expected = sample_maps(features[None], points[None])[0].T
    torch.testing.assert_close(sample_features(features, points), expected)
    channels_last = features.movedim(0, -1).contiguous().movedim(-1, 0)
    torch.testing.assert_close(sample_features(channels_last, points), expected)


def test_bitmaps_are_sampled_as_maps_padded_with_zeros(generator: torch.Generator) -> None:
    masks = torch.rand(3, 5, 7, generator=generator) > 0.5
    points = torch.rand(3, 50, 2, generator=generator)
    padded = torch.zeros(3, 8, 12)
    padded[:, :5, :7] = masks
    expected = sample_maps(padded[:, None], points)[:, 0]
    torch.testing.assert_close(sample_bitmaps(masks, points, (8, 12)), expected)


def test_each_row_of_points_may_have_a_mask_of_its_own(generator: torch.Generator) -> None:
    masks = torch.rand(2, 5, 7, generator=generator) > 0.5
    points = torch.rand(3, 9, 2, generator=generator)
    which = torch.tensor([1, 0, 1])
    found = sample_bitmaps(masks, points, (5, 7), which=which)
    torch.testing.assert_close(found, sample_bitmaps(masks[which], points, (5, 7)))
    assert sample_bitmaps(masks[:0], points[:1], (5, 7)).shape == (0, 9)


def test_points_are_drawn_in_the_order_of_the_released_code() -> None:
    torch.manual_seed(3)
    first, second = draw_points(2, [1, 2], CONFIG, device=CPU)
    torch.manual_seed(3)
    for drawn in (first, second):
        for matching in drawn.matching:
            assert torch.equal(matching, torch.rand(1, 8, 2))
        assert torch.equal(drawn.candidates, torch.rand(3, 24, 2))
        assert torch.equal(drawn.uniform, torch.rand(3, 2, 2))


def test_points_where_the_logit_is_nearest_to_0_are_chosen() -> None:
    logits = torch.linspace(-4, 4, 9).view(1, 1, 9)
    candidates = torch.rand(1, 24, 2)
    uniform = torch.rand(1, 2, 2)
    points = choose_uncertain(logits, candidates, uniform, CONFIG)
    assert points.shape == (1, 8, 2)
    assert torch.equal(points[:, 6:], uniform)
    chosen = sample_maps(logits[:, None], points[:, :6]).abs().max()
    assert int((sample_maps(logits[:, None], candidates).abs() <= chosen).sum()) == 6
