"""Losses against hand-worked numbers."""

import math

import pytest
import torch

from swin_dense.heads.detection.losses import (
    classification_loss,
    giou_loss,
    mask_loss,
    objectness_loss,
    smooth_l1_loss,
)


def test_objectness_counts_only_what_was_sampled() -> None:
    logits = torch.tensor([[0.0, 2.0, 9.0]])
    positive = torch.tensor([[True, False, False]])
    negative = torch.tensor([[False, True, False]])
    loss = objectness_loss(logits, positive, negative, divisor=torch.tensor(4))
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_smooth_l1_is_quadratic_below_beta_and_l1_without() -> None:
    predicted, targets = torch.tensor([[0.5, 3, 0, 0]]), torch.zeros(1, 4)
    assert smooth_l1_loss(predicted, targets, divisor=2, beta=0.0).item() == pytest.approx(1.75)
    smooth = smooth_l1_loss(predicted, targets, divisor=1, beta=1.0)
    assert smooth.item() == pytest.approx(0.125 + 2.5)


def test_giou_loss_of_equal_boxes_is_zero() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 2]])
    assert giou_loss(boxes, boxes, divisor=2).item() == pytest.approx(0, abs=1e-6)
    apart = torch.tensor([[0.0, 4, 4, 8], [1, 1, 5, 2]])
    assert giou_loss(boxes, apart, divisor=2).item() == pytest.approx(0.5)


def test_classification_is_the_mean_over_boxes() -> None:
    logits = torch.tensor([[0.0, 0, 0], [math.log(2), 0, 0]])
    loss = classification_loss(logits, torch.tensor([2, 0]))
    assert loss.item() == pytest.approx((math.log(3) + math.log(2)) / 2)


def test_mask_loss_is_of_the_class_of_each_box_alone() -> None:
    logits = torch.zeros(2, 3, 4, 4)
    logits[0, 1], logits[1, 2] = 20.0, -20.0
    targets = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    assert mask_loss(logits, torch.tensor([1, 2]), targets).item() < 1e-6
    assert mask_loss(logits, torch.tensor([0, 0]), targets).item() == pytest.approx(math.log(2))


def test_losses_of_nothing_are_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    boxes = torch.zeros(0, 4, requires_grad=True)
    masks = torch.zeros(0, 3, 4, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    total = (
        classification_loss(logits, none)
        + smooth_l1_loss(boxes, torch.zeros(0, 4), divisor=1, beta=0.0)
        + giou_loss(boxes, torch.zeros(0, 4), divisor=1)
        + mask_loss(masks, none, torch.zeros(0, 4, 4))
    )
    total.backward()
    assert total.item() == 0
    assert all(inputs.grad is not None for inputs in (logits, boxes, masks))


def test_losses_of_half_precision_are_computed_in_float32() -> None:
    logits = torch.tensor([[1.0, 2, 3]], dtype=torch.bfloat16)
    assert classification_loss(logits, torch.tensor([0])).dtype == torch.float32
