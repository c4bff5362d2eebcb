"""Region proposal network: order of anchors, proposals and losses."""

from typing import Any

import pytest
import torch
from one_size import of_one_size
from torch import Tensor

from swin_dense.heads.detection.boxes.anchor_sampling import sample_anchors
from swin_dense.heads.detection.boxes.anchors import make_anchors
from swin_dense.heads.detection.boxes.matching import image_generators
from swin_dense.heads.detection.config import RPNConfig
from swin_dense.heads.detection.rpn import RPNHead, RPNOutputs, TrainedAnchors, propose, rpn_losses

LOSS_SETTINGS = {
    "size_divisor": 32,
    "allowed_border": None,
    "positive_iou": 0.7,
    "negative_iou": 0.3,
    "min_positive_iou": 0.3,
    "num_samples": None,
    "positive_fraction": 0.5,
}


def make_head(channels: int, *, strides: tuple[int, ...]) -> RPNHead:
    """A head with the released anchors."""
    return RPNHead(channels, strides=strides, anchor_scale=8.0, anchor_ratios=(0.5, 1.0, 2.0))


def outputs_of(boxes: list[list[float]], scores: list[float], levels: list[int]) -> RPNOutputs:
    """Outputs for one image whose anchors are the boxes themselves."""
    return RPNOutputs(
        logits=torch.tensor([scores]).logit(),
        deltas=torch.zeros(1, len(boxes), 4),
        anchors=torch.tensor(boxes),
        level_lengths=tuple(levels),
    )


def pyramid(generator: torch.Generator) -> list[Tensor]:
    """Two levels of four channels for two images of 64 x 96 px."""
    return [torch.randn(2, 4, 64 // s, 96 // s, generator=generator) for s in (8, 16)]


def test_outputs_follow_the_order_of_the_anchors(generator: torch.Generator) -> None:
    head, levels = make_head(4, strides=(8, 16)), pyramid(generator)
    outputs = head(levels)
    assert outputs.level_lengths == (8 * 12 * 3, 4 * 6 * 3)
    hidden = head.rpn_conv(levels[1]).relu()
    logits, deltas = head.rpn_cls(hidden), head.rpn_reg(hidden)
    row, column, ratio = 2, 5, 1
    position = outputs.level_lengths[0] + (row * 6 + column) * 3 + ratio
    torch.testing.assert_close(outputs.logits[1, position], logits[1, ratio, row, column])
    torch.testing.assert_close(
        outputs.deltas[1, position], deltas[1, 4 * ratio : 4 * ratio + 4, row, column]
    )
    expected = make_anchors((4, 6), stride=16, scale=8, ratios=(0.5, 1, 2))
    torch.testing.assert_close(outputs.anchors[288:], expected)


def test_proposals_are_clipped_suppressed_within_their_level_and_sorted() -> None:
    boxes = [[0.0, 0, 10, 10], [0, 0, 10, 9], [-5, -5, 40, 40], [0, 0, 10, 10], [50, 50, 60, 60]]
    outputs = outputs_of(boxes, [0.6, 0.8, 0.7, 0.9, 0.5], [3, 2])
    ((proposals, scores),) = propose(outputs, [(30, 20)], nms_pre=10, max_proposals=10, nms_iou=0.7)
    # The last box lies outside; the first overlaps the second; equal boxes of two levels stay.
    assert proposals.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 20, 30]]
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.8, 0.7]))


def test_proposals_are_limited_per_level_and_per_image() -> None:
    boxes = [[20.0 * i, 0, 20 * i + 9, 9] for i in range(6)]
    outputs = outputs_of(boxes, [0.1, 0.2, 0.3, 0.9, 0.8, 0.7], [3, 3])
    ((_, scores),) = propose(outputs, [(99, 999)], nms_pre=2, max_proposals=3, nms_iou=0.7)
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.8, 0.3]))


def test_no_proposal_is_left_where_all_lie_outside() -> None:
    outputs = outputs_of([[50.0, 50, 60, 60]], [0.9], [1])
    ((boxes, scores),) = propose(outputs, [(30, 20)], nms_pre=2, max_proposals=3, nms_iou=0.7)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def losses_of(
    outputs: RPNOutputs, sizes: list[tuple[int, int]], boxes: list[Tensor], **changed: object
) -> dict[str, Tensor]:
    """Losses on the anchors that are sampled of whole outputs."""
    settings: dict[str, Any] = LOSS_SETTINGS | changed
    generators = image_generators(len(sizes), torch.device("cpu"))
    samples = sample_anchors(outputs.anchors, sizes, boxes, generators=generators, **settings)
    logits, deltas = outputs.logits, outputs.deltas
    if samples.indices is not None:
        logits = logits.gather(1, samples.indices)
        deltas = deltas.gather(1, samples.indices[..., None].expand(-1, -1, 4))
    return rpn_losses([TrainedAnchors(logits, deltas, samples)], smooth_l1_beta=0.0)


def test_losses_by_hand() -> None:
    # One anchor is the object, one is background, one in between; 1 + 1 are sampled.
    outputs = RPNOutputs(
        logits=torch.zeros(1, 3),
        deltas=torch.full((1, 3, 4), 0.5),
        anchors=torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 5]]),
        level_lengths=(3,),
    )
    losses = losses_of(outputs, [(32, 32)], [torch.tensor([[0.0, 0, 10, 10]])])
    assert losses["loss_rpn_cls"].item() == pytest.approx(2 * 0.6931472 / 2)
    assert losses["loss_rpn_bbox"].item() == pytest.approx(4 * 0.5 / 2)


def test_losses_of_images_of_several_sizes_are_over_all_that_is_sampled() -> None:
    outputs = RPNOutputs(
        logits=torch.zeros(1, 3),
        deltas=torch.full((1, 3, 4), 0.5),
        anchors=torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 5]]),
        level_lengths=(3,),
    )
    generators = [torch.Generator()]
    parts = [
        TrainedAnchors(
            outputs.logits[:, :num],
            outputs.deltas[:, :num],
            sample_anchors(
                outputs.anchors[:num],
                [size],
                [torch.tensor([[0.0, 0, 10, 10]])],
                generators=generators,
                **LOSS_SETTINGS,
            ),
        )
        for num, size in ((3, (32, 32)), (1, (32, 20)))
    ]
    losses = rpn_losses(parts, smooth_l1_beta=0.0)
    # Two anchors of the first image and one of the second, whose missing background counts as one.
    assert losses["loss_rpn_cls"].item() == pytest.approx(3 * 0.6931472 / 4)
    assert losses["loss_rpn_bbox"].item() == pytest.approx(2 * 4 * 0.5 / 4)


def test_losses_are_of_the_number_of_anchors_sampled(generator: torch.Generator) -> None:
    head = make_head(4, strides=(8, 16))
    torch.nn.init.zeros_(head.rpn_cls.weight)
    outputs = head(pyramid(generator))
    boxes = [torch.tensor([[4.0, 4, 60, 60]]), torch.zeros(0, 4)]
    losses = losses_of(outputs, [(64, 96), (64, 96)], boxes, num_samples=16)
    # All logits are zero, so each sample costs log 2. The image without objects has 16 negatives,
    # and its missing positives count as one.
    assert losses["loss_rpn_cls"].item() == pytest.approx(0.6931472 * 32 / 33, rel=1e-5)


def test_forward_at_anchors_equals_whole_maps_in_values_and_gradients(
    generator: torch.Generator,
) -> None:
    head = make_head(4, strides=(8, 16, 32))
    torch.nn.init.normal_(head.rpn_conv.bias, generator=generator)
    levels = [*pyramid(generator), torch.randn(2, 4, 1, 1, generator=generator)]
    # Corners and edges of each level, and what lies between.
    num_anchors = 3 * sum(maps[0, 0].numel() for maps in levels)
    indices = torch.stack([torch.arange(num_anchors), torch.arange(num_anchors).flip(0)])
    weights = torch.randn(2, num_anchors, 5, generator=generator)
    gradients = []
    for is_sparse in (False, True):
        leaves = [maps.clone().requires_grad_() for maps in levels]
        outputs = head(leaves)
        logits = outputs.logits.gather(1, indices)
        deltas = outputs.deltas.gather(1, indices[..., None].expand(-1, -1, 4))
        if is_sparse:
            at_anchors = head.forward_at_anchors(leaves, indices)
            torch.testing.assert_close(at_anchors, (logits, deltas))
            logits, deltas = at_anchors
        loss = (torch.cat([logits[..., None], deltas], dim=2) * weights).sum()
        gradients.append(torch.autograd.grad(loss, [*leaves, *head.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_sparse_forward_is_used_for_few_anchors_of_large_maps() -> None:
    head = make_head(1, strides=(4,))
    assert head.use_sparse_forward([torch.zeros(1, 1, 200, 304)], 256)
    assert not head.use_sparse_forward([torch.zeros(1, 1, 32, 32)], 256)


@pytest.mark.parametrize(
    "boxes", [torch.zeros(0, 4), torch.tensor([[5.0, 5, 5, 9]])], ids=["none", "without area"]
)
def test_losses_without_objects_are_finite_and_reach_each_parameter(
    boxes: Tensor, generator: torch.Generator
) -> None:
    head = make_head(4, strides=(8, 16))
    losses = losses_of(head(pyramid(generator)), [(64, 96), (40, 33)], [boxes, boxes])
    sum(losses.values()).backward()
    assert losses["loss_rpn_bbox"].item() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("num_samples", [None, 4, 200], ids=["all", "sparse", "whole maps"])
def test_training_gives_all_outputs_and_the_losses_of_the_anchors_sampled(
    num_samples: int | None, generator: torch.Generator
) -> None:
    head, levels = make_head(4, strides=(8, 16)), pyramid(generator)
    sizes, gt_boxes = [(64, 96), (40, 33)], [torch.tensor([[4.0, 4, 60, 60]]), torch.zeros(0, 4)]
    torch.manual_seed(1)  # of the samples
    (outputs,), losses = head.forward_train(
        of_one_size(levels, stride=8),
        sizes,
        gt_boxes,
        image_generators(2, torch.device("cpu")),
        config=RPNConfig(num_samples=num_samples),
        size_divisor=32,
    )
    is_sparse = num_samples is not None and head.use_sparse_forward(levels, num_samples)
    assert is_sparse == (num_samples == 4)
    assert outputs.logits.requires_grad != is_sparse
    whole = head(levels)
    torch.testing.assert_close(outputs.logits, whole.logits, rtol=0, atol=0)
    torch.manual_seed(1)
    expected = losses_of(whole, sizes, gt_boxes, num_samples=num_samples)
    torch.testing.assert_close(losses, expected)
    gradients = (
        torch.autograd.grad(sum(values.values()), list(head.parameters()))
        for values in (losses, expected)
    )
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
