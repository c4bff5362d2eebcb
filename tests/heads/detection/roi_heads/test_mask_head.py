"""Mask head: shapes, targets by hand, pasting against a loop over pixels."""

import math

import pytest
import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.roi_heads.box_head import Detections
from swin_dense.heads.detection.roi_heads.mask_head import (
    MaskHead,
    mask_head_loss,
    mask_targets,
    paste_masks,
    predict_masks,
)


def slow_paste(mask: Tensor, box: list[float], size: tuple[int, int]) -> Tensor:
    """Bilinear value of the mask at each pixel's centre, 0 beyond its border."""
    side = len(mask)
    pasted = torch.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * side - 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * side - 0.5
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    if 0 <= i < side and 0 <= j < side:
                        pasted[row, column] += mask[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return pasted


def test_one_mask_per_class_of_twice_the_side() -> None:
    head = MaskHead(4, 3, num_convs=2, channels=5)
    assert head(torch.randn(2, 4, 7, 7)).shape == (2, 3, 14, 14)
    assert head(torch.randn(0, 4, 7, 7)).shape == (0, 3, 14, 14)
    names = set(head.state_dict())
    assert {"convs.1.conv.weight", "upsample.weight", "conv_logits.bias"} <= names


def test_targets_are_the_part_of_the_objects_mask_in_the_box() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[1, :, 4:] = True
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 0, 8, 8], [0, 0, 8, 8]])
    targets = mask_targets(masks, boxes, torch.tensor([1, 1, 0]), output_size=4, batch_size=(8, 8))
    assert targets[0].tolist() == [[0, 0, 1, 1]] * 4
    assert targets[1].all()
    assert not targets[2].any()


def test_targets_end_where_the_image_does() -> None:
    # The last of the box's four columns lies half a pixel beyond a full mask.
    masks, boxes = torch.ones(1, 4, 4), torch.tensor([[0.0, 0, 6, 4]])
    owner = torch.tensor([0])
    padded = mask_targets(masks, boxes, owner, output_size=4, batch_size=(4, 32))
    assert padded[0].tolist() == [[1, 1, 1, 0]] * 4
    assert mask_targets(
        torch.zeros(0, 4, 4), boxes[:0], owner[:0], output_size=4, batch_size=(4, 4)
    ).shape == (0, 4, 4)


@pytest.mark.parametrize(
    "box",
    [
        [2.0, 3.0, 14.0, 11.0],
        [-5.3, -2.1, 9.7, 30.2],
        [4.2, 4.2, 5.1, 4.9],
        [50.0, 50.0, 60.0, 60.0],
    ],
)
def test_pasting_equals_a_loop_over_pixels(box: list[float], generator: torch.Generator) -> None:
    mask = torch.rand(5, 5, generator=generator)
    expected = slow_paste(mask, box, (15, 20))
    pasted = paste_masks(mask[None], torch.tensor([box]), (15, 20), threshold=0.5)[0]
    clear = (expected - 0.5).abs() > 1e-4
    assert pasted.dtype == torch.bool
    assert (pasted == (expected >= 0.5))[clear].all()


def test_pasting_in_chunks_equals_pasting_one_by_one(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = torch.rand(5, 7, 7, generator=generator)
    boxes = torch.tensor(
        [[1.0, 2, 11, 14], [0, 0, 20, 15], [5, 5, 5, 9], [3, 3, 4, 4], [9, 1, 19, 6]]
    )
    expected = paste_masks(masks, boxes, (15, 20))
    monkeypatch.setattr(
        "swin_dense.heads.detection.roi_heads.mask_head._PASTE_BYTES", 2 * 16 * 15 * 20
    )
    monkeypatch.setattr("swin_dense.heads.detection.roi_heads.mask_head._ONE_BY_ONE", ())
    assert torch.equal(paste_masks(masks, boxes, (15, 20)), expected)


def test_a_box_without_area_gives_an_empty_mask_and_no_box_none() -> None:
    pasted = paste_masks(torch.ones(1, 5, 5), torch.tensor([[5.5, 5, 5.5, 9]]), (15, 20))
    assert not pasted.any()
    assert paste_masks(torch.zeros(0, 5, 5), torch.zeros(0, 4), (15, 20)).shape == (0, 15, 20)


def test_training_and_prediction_take_each_images_own_boxes(generator: torch.Generator) -> None:
    head = MaskHead(4, 3, num_convs=1, channels=5)
    pyramid = [torch.randn(2, 4, 8, 8, generator=generator)]
    boxes = torch.tensor([[0.0, 0, 20, 20]])
    objects = RoISamples(
        boxes=boxes,
        labels=torch.tensor([1]),
        objects=torch.tensor([0]),
        are_objects=torch.tensor([True]),
    )
    nothing = RoISamples(
        boxes=boxes,
        labels=torch.tensor([3]),
        objects=torch.zeros(0, dtype=torch.int64),
        are_objects=torch.tensor([False]),
    )
    masks = [torch.zeros(0, 32, 32), torch.ones(1, 32, 32)]
    settings = {"strides": (4,), "roi_size": 7}
    mask_head_loss(
        head, pyramid, [nothing, objects], masks, batch_size=(32, 32), **settings
    ).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
    empty = Detections(boxes[:0], torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    found = Detections(boxes, torch.ones(1), torch.tensor([2]))
    with torch.no_grad():
        first, second = predict_masks([head, head], pyramid, [empty, found], **settings)
        (alone,) = predict_masks([head], [pyramid[0][1:]], [found], **settings)
    assert first.shape == (0, 14, 14)
    torch.testing.assert_close(second, alone)
