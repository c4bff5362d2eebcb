"""Mask head: shapes, targets by hand, masks of several heads."""

import torch
from one_size import of_one_size

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.config import MaskConfig, MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.mask_head import (
    MaskHead,
    build_mask_head,
    mask_head_loss,
    mask_targets,
    predict_masks,
)
from swin_dense.heads.detection.roi_heads.postprocessing import Detections


def test_one_mask_per_class_of_twice_the_side(generator: torch.Generator) -> None:
    head = MaskHead(4, 3, num_convs=2, channels=5)
    for num in (2, 0):
        pooled = torch.randn(num, 4, 7, 7, generator=generator)
        assert head(pooled).shape == (num, 3, 14, 14)
    names = set(head.state_dict())
    assert {"convs.1.conv.weight", "upsample.weight", "conv_logits.bias"} <= names


def test_a_head_is_built_in_the_sizes_of_the_config() -> None:
    config = MaskRCNNConfig(
        backbone=SwinConfig(embed_dim=8, depths=(1,) * 4, num_heads=(1,) * 4),
        num_classes=3,
        fpn_channels=4,
        mask=MaskConfig(num_convs=2, channels=5),
    )
    shapes = {name: value.shape for name, value in build_mask_head(config).state_dict().items()}
    expected = MaskHead(4, 3, num_convs=2, channels=5).state_dict()
    assert shapes == {name: value.shape for name, value in expected.items()}


def test_targets_are_the_part_of_the_ground_truth_in_the_box() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[1, :, 4:] = True
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 0, 8, 8], [0, 0, 8, 8]])
    targets = mask_targets(masks, boxes, torch.tensor([1, 1, 0]), output_size=4, padded_size=(8, 8))
    assert targets[0].tolist() == [[0, 0, 1, 1]] * 4
    assert targets[1].all()
    assert not targets[2].any()


def test_targets_end_where_the_image_does() -> None:
    # The last of the box's four columns lies half a pixel beyond a full mask.
    masks, boxes = torch.ones(1, 4, 4), torch.tensor([[0.0, 0, 6, 4]])
    gt_indices = torch.tensor([0])
    padded = mask_targets(masks, boxes, gt_indices, output_size=4, padded_size=(4, 32))
    assert padded[0].tolist() == [[1, 1, 1, 0]] * 4
    assert mask_targets(
        torch.zeros(0, 4, 4), boxes[:0], gt_indices[:0], output_size=4, padded_size=(4, 4)
    ).shape == (0, 4, 4)


def test_training_and_prediction_take_the_boxes_of_each_image(generator: torch.Generator) -> None:
    head = MaskHead(4, 3, num_convs=1, channels=5)
    maps = torch.randn(2, 4, 8, 8, generator=generator)
    pyramids = of_one_size([maps])
    boxes = torch.tensor([[0.0, 0, 20, 20]])
    positive = RoISamples(
        boxes=boxes,
        labels=torch.tensor([1]),
        matched_gt_indices=torch.tensor([0]),
        is_gt=torch.tensor([True]),
    )
    background = RoISamples(
        boxes=boxes,
        labels=torch.tensor([3]),
        matched_gt_indices=torch.zeros(0, dtype=torch.int64),
        is_gt=torch.tensor([False]),
    )
    targets = [
        {"boxes": boxes[:num], "labels": torch.ones(num).long(), "masks": torch.ones(num, 32, 32)}
        for num in (0, 1)
    ]
    settings = {"strides": (4,), "roi_size": 7}
    mask_head_loss(
        head, pyramids, [background, positive], targets, padded_sizes=[(32, 32)] * 2, **settings
    ).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
    empty = Detections(boxes[:0], torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    detections = Detections(boxes, torch.ones(1), torch.tensor([2]))
    with torch.no_grad():
        first, second = predict_masks([head, head], pyramids, [empty, detections], **settings)
        (alone,) = predict_masks([head], of_one_size([maps[1:]]), [detections], **settings)
    assert first.shape == (0, 14, 14)
    torch.testing.assert_close(second, alone)
