"""Batches of the sizes that the recipe draws."""

import statistics

import pytest
import torch
from measuring.detection_batches import (
    draw_images,
    draw_sizes,
    draw_targets,
    padding_ratio,
    scale_sizes,
    typical_batch,
)

BOXES = [[(480, 640)] * 2, [(480, 640), (640, 960)], [(480, 640), (512, 768)]]


def test_sizes_are_the_recipes_and_the_same_each_time() -> None:
    batches = draw_sizes(4, 16)
    assert [len(sizes) for sizes in batches] == [4] * 16
    for height, width in (size for sizes in batches for size in sizes):
        assert min(height, width) <= 800
        assert 384 <= max(height, width) <= 1333
    assert len({size for sizes in batches for size in sizes}) > 30
    assert draw_sizes(4, 16) == batches
    assert draw_sizes(4, 16, seed=1) != batches


@pytest.mark.parametrize(("batch_size", "padding"), [(2, 1.22), (4, 1.42)])
def test_padding_is_that_of_all_of_coco(batch_size: int, padding: float) -> None:
    # Simulated apart from this code, with COCO's own sizes.
    batches = draw_sizes(batch_size, 64)
    mean = statistics.mean(padding_ratio(sizes) for sizes in batches)
    assert mean == pytest.approx(padding, abs=0.05)


def test_padding_is_counted_in_whole_cells() -> None:
    assert padding_ratio([(64, 96)]) == 1.0
    assert padding_ratio([(64, 96), (32, 64)]) == 2 * 64 * 96 / (64 * 96 + 32 * 64)
    assert padding_ratio([(33, 32)]) == 64 / 33


def test_typical_batch_has_the_median_padding() -> None:
    ratios = [padding_ratio(sizes) for sizes in BOXES]
    assert ratios[0] < ratios[2] < ratios[1]
    assert typical_batch(BOXES) == BOXES[2]


def test_scaled_sizes_keep_a_cell() -> None:
    assert scale_sizes([(480, 641), (40, 1000)], 0.5) == [(240, 320), (32, 500)]


def test_images_have_their_sizes_and_are_the_same_each_time() -> None:
    images = draw_images([(32, 48), (40, 36)])
    assert [tuple(image.shape) for image in images] == [(3, 32, 48), (3, 40, 36)]
    assert images[0].dtype == torch.uint8
    assert torch.equal(images[1], draw_images([(32, 48), (40, 36)])[1])


def test_objects_are_ellipses_that_fill_their_boxes() -> None:
    (target,) = draw_targets([(160, 240)], num_classes=5, device=torch.device("cpu"))
    boxes, masks = target["boxes"], target["masks"]
    assert masks.shape == (8, 160, 240)
    assert masks.dtype == torch.bool
    assert ((target["labels"] >= 0) & (target["labels"] < 5)).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides >= 40).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2] <= 240).all()
    assert (boxes[:, 3] <= 160).all()
    areas = sides.prod(dim=1) * torch.pi / 4
    torch.testing.assert_close(masks.sum(dim=(1, 2)).float(), areas, rtol=0.03, atol=0)


def test_objects_fit_small_images() -> None:
    (target,) = draw_targets([(32, 48)], num_classes=5, device=torch.device("cpu"))
    assert (target["boxes"][:, 2:] - target["boxes"][:, :2] > 15.9).all()
    assert (target["boxes"][:, 2:] <= torch.tensor([48, 32])).all()
    assert target["masks"].flatten(1).any(dim=1).all()
