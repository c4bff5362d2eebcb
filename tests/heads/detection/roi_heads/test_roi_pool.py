"""RoI pooling: levels, order and values."""

import pytest
import torch
from one_size import of_one_size

from swin_dense.heads.detection.roi_heads.roi_pool import (
    assign_fpn_levels,
    boxes_to_rois,
    pool_rois,
)
from swin_dense.padding import batch_images
from swin_dense.pyramids import Pyramids


def test_levels_change_at_powers_of_two_of_56_px() -> None:
    sides = [0, 1, 55, 56, 111, 112, 223, 224, 447, 448, 5000]
    boxes = torch.tensor([[3.0, 3, 3 + side, 3 + side] for side in sides])
    assert assign_fpn_levels(boxes).tolist() == [2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert assign_fpn_levels(torch.zeros(0, 4)).shape == (0,)


def test_levels_refuse_other_shapes_and_bounds() -> None:
    with pytest.raises(ValueError, match=r"boxes must be \(R, 4\), got \(2, 5\)"):
        assign_fpn_levels(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="finest must not be above coarsest, got 4 and 3"):
        assign_fpn_levels(torch.zeros(2, 4), finest=4, coarsest=3)


def test_joined_boxes_carry_the_place_of_their_image() -> None:
    rois = boxes_to_rois([torch.zeros(2, 4), torch.zeros(0, 4), torch.ones(1, 4)], [1, 0, 2])
    assert rois[:, 0].tolist() == [1, 1, 2]
    assert rois.shape == (3, 5)


def test_each_box_is_pooled_from_its_level_and_image_in_the_order_given() -> None:
    # Each map is constant, and says which image and level it is.
    pyramid = [
        torch.tensor([0.0, 100.0])[:, None, None, None].expand(2, 1, 512 // s, 512 // s) + s
        for s in (4, 8, 16, 32, 64)
    ]
    boxes = torch.tensor([[8.0, 8, 500, 500], [8, 8, 30, 30], [8, 8, 240, 240], [8, 8, 130, 130]])
    pooled = pool_rois(
        of_one_size(pyramid), [boxes[:2], boxes[2:]], strides=(4, 8, 16, 32), output_size=2
    )
    assert pooled.shape == (4, 1, 2, 2)
    assert pooled[:, 0, 0, 0].tolist() == [32, 4, 116, 108]


def test_boxes_of_images_of_several_sizes_are_pooled_from_their_own_maps(
    generator: torch.Generator,
) -> None:
    sizes, strides = ((64, 96), (40, 200), (64, 90), (1, 1)), (4, 8)
    batch = batch_images([torch.zeros(3, *size) for size in sizes])
    groups = batch.size_groups
    assert [group.indices for group in groups] == [(0, 2), (1,), (3,)]
    maps = tuple(
        [
            torch.randn(len(g.indices), 2, g.size[0] // s, g.size[1] // s, generator=generator)
            for s in strides
        ]
        for g in groups
    )
    pyramids = Pyramids(groups, maps)
    boxes = []
    for height, width in sizes:  # some of 112 px and more, some that end with the image
        corners = torch.rand(6, 2, 2, generator=generator).sort(dim=1).values
        corners[0] = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        boxes.append((corners * torch.tensor([width, height])).flatten(1))
    boxes[2] = boxes[2][:0]
    settings = {"strides": strides, "output_size": 3}
    pooled = pool_rois(pyramids, boxes, **settings)
    assert pooled.shape == (18, 2, 3, 3)
    for image, (part, (group, place)) in enumerate(
        zip(pooled.split([6, 6, 0, 6]), pyramids.places, strict=True)
    ):
        alone = of_one_size([level[place : place + 1] for level in maps[group]])
        expected = pool_rois(alone, [boxes[image]], **settings)
        torch.testing.assert_close(part, expected, rtol=0, atol=0)


def test_pooling_a_linear_ramp_gives_its_value_at_bin_centres() -> None:
    # Cell i of stride 4 has its centre at 4*i + 2 px.
    ramp = (torch.arange(16.0) * 4 + 2).expand(1, 1, 16, 16).contiguous()
    boxes = [torch.tensor([[10.0, 10, 34, 34]])]
    pooled = pool_rois(of_one_size([ramp]), boxes, strides=(4,), output_size=2)
    torch.testing.assert_close(pooled[0, 0, 0], torch.tensor([16.0, 28.0]))


def test_no_boxes_give_no_features_but_a_gradient() -> None:
    maps = torch.ones(1, 3, 8, 8, requires_grad=True)
    pooled = pool_rois(of_one_size([maps]), [torch.zeros(0, 4)], strides=(4,), output_size=7)
    pooled.sum().backward()
    assert pooled.shape == (0, 3, 7, 7)
    assert maps.grad is not None


def test_half_precision_features_stay_so() -> None:
    maps = torch.ones(1, 3, 8, 8, dtype=torch.bfloat16)
    pooled = pool_rois(
        of_one_size([maps]), [torch.tensor([[4.0, 4, 20, 20]])], strides=(4,), output_size=2
    )
    assert pooled.dtype == torch.bfloat16
    assert (pooled == 1).all()
