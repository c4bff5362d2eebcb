"""Anchors sampled for training."""

from typing import Any

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.anchor_sampling import AnchorSamples, sample_anchors
from swin_dense.heads.detection.boxes.anchors import make_anchors
from swin_dense.heads.detection.boxes.box_ops import decode_boxes, pairwise_iou

SETTINGS: dict[str, Any] = {
    "size_divisor": 32,
    "allowed_border": None,
    "positive_iou": 0.7,
    "negative_iou": 0.3,
    "min_positive_iou": 0.3,
    "num_samples": None,
    "positive_fraction": 0.5,
}


def sample(
    anchors: Tensor, sizes: list[tuple[int, int]], gt_boxes: list[Tensor], **changed: object
) -> AnchorSamples:
    """Sample with the settings of Mask R-CNN, but for those given."""
    generators = [torch.Generator() for _ in sizes]
    return sample_anchors(anchors, sizes, gt_boxes, generators=generators, **(SETTINGS | changed))


def test_room_for_all_anchors_samples_all_with_the_deltas_to_their_ground_truth() -> None:
    anchors = make_anchors((8, 12), stride=8, scale=4, ratios=(1.0,))
    gt_boxes = torch.tensor([[4.0, 4, 36, 36], [60.0, 30, 90, 60]])
    everything, some = (
        sample(anchors, [(64, 96)], [gt_boxes], num_samples=num_samples)
        for num_samples in (None, len(anchors) + 5)
    )
    assert everything.indices is None
    assert some.indices is not None
    order = some.indices[0].argsort()
    assert some.indices[0][order].tolist() == list(range(len(anchors)))
    assert torch.equal(some.positive[0][order], everything.positive[0])
    assert torch.equal(some.deltas[0][order], everything.deltas[0])
    # With room for all, only the share of positives limits: there are fewer.
    assert torch.equal(some.negative[0][order], everything.negative[0])
    moved = decode_boxes(anchors, everything.deltas[0], stds=(1, 1, 1, 1))[everything.positive[0]]
    overlap = pairwise_iou(moved, gt_boxes).amax(dim=1)
    torch.testing.assert_close(overlap, torch.ones_like(overlap))


def test_no_more_than_the_number_and_the_fraction_of_positives_are_sampled() -> None:
    anchors = make_anchors((8, 12), stride=8, scale=4, ratios=(1.0,))
    gt_boxes = anchors[[30, 31, 32, 45, 60]]
    samples = sample(
        anchors, [(64, 96)] * 2, [gt_boxes, gt_boxes[:1]], num_samples=8, positive_fraction=0.25
    )
    assert samples.indices is not None
    assert samples.indices.shape == (2, 8)
    assert samples.positive.sum(dim=1).tolist() == [2, 1]
    assert samples.negative.sum(dim=1).tolist() == [6, 7]
    assert samples.indices[1][samples.positive[1]].tolist() == [30]
    assert all(len(indices.unique()) == 8 for indices in samples.indices)


def test_anchors_on_the_padding_of_an_image_are_not_sampled() -> None:
    anchors = make_anchors((8, 12), stride=8, scale=1, ratios=(1.0,))
    samples = sample(anchors, [(64, 96), (32, 32)], [torch.zeros(0, 4)] * 2)
    x, y = anchors[:, :2].add(4).unbind(1)  # centres
    assert samples.negative[0].all()
    assert torch.equal(samples.negative[1], (x < 32) & (y < 32))


def test_without_ground_truth_all_anchors_are_background_without_deltas() -> None:
    anchors = make_anchors((4, 6), stride=16, scale=4, ratios=(0.5, 1.0))
    samples = sample(anchors, [(64, 96)], [torch.zeros(0, 4)])
    assert samples.negative.all()
    assert not samples.positive.any()
    assert not samples.deltas.any()
