"""Box head: shapes, names, losses by hand."""

import math

import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.boxes.box_ops import encode_boxes
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.config import BoxConfig, TwoStageDetectorConfig
from swin_dense.heads.detection.roi_heads.box_head import BoxHead, box_losses, build_box_head

STDS = (0.1, 0.1, 0.2, 0.2)


def sample(
    boxes: list[list[float]], labels: list[int], matched_gt_indices: list[int]
) -> RoISamples:
    """Boxes of one image; the first `len(matched_gt_indices)` are positives."""
    return RoISamples(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        matched_gt_indices=torch.tensor(matched_gt_indices, dtype=torch.int64),
        is_gt=torch.zeros(len(labels), dtype=torch.bool),
    )


def tiny_head(num_convs: int = 0, num_fcs: int = 2) -> BoxHead:
    """A head of 4 channels, 3 classes and 2 x 2 bins."""
    return BoxHead(
        4, 3, roi_size=2, num_convs=num_convs, conv_channels=6, num_fcs=num_fcs, fc_channels=8
    )


def test_outputs_have_background_last_and_deltas_per_class(generator: torch.Generator) -> None:
    logits, deltas = tiny_head()(torch.randn(5, 4, 2, 2, generator=generator))
    assert logits.shape == (5, 4)
    assert deltas.shape == (5, 3, 4)


@pytest.mark.parametrize("num_convs", [0, 2])
def test_every_parameter_gets_a_gradient_even_from_no_boxes(
    num_convs: int, generator: torch.Generator
) -> None:
    head = tiny_head(num_convs)
    for num in (3, 0):
        logits, deltas = head(torch.randn(num, 4, 2, 2, generator=generator))
        (logits.sum() + deltas.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert all(buffer.isfinite().all() for buffer in head.buffers())


def test_names_are_the_published_ones() -> None:
    names = set(tiny_head(num_convs=1, num_fcs=1).state_dict())
    assert {"shared_convs.0.conv.weight", "shared_convs.0.bn.running_mean"} <= names
    assert {"shared_fcs.0.weight", "fc_cls.bias", "fc_reg.weight"} <= names
    assert "shared_convs.0.conv.bias" not in names


def test_losses_of_two_images_by_hand() -> None:
    gt_boxes = [torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10]]), torch.zeros(0, 4)]
    samples = [
        sample([[0.0, 0, 10, 10], [50, 50, 60, 60]], [1, 2], [1]),
        sample([[5.0, 5, 9, 9]], [2], []),
    ]
    deltas = torch.zeros(3, 2, 4)
    losses = box_losses(torch.zeros(3, 3), deltas, samples, gt_boxes, delta_stds=STDS)
    # The positive is to move by half its width and to double it.
    expected = (0.5 / 0.1 + math.log(2) / 0.2) / 3
    assert losses["loss_bbox"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["loss_cls"].item() == pytest.approx(math.log(3))
    deltas[0, 1] = encode_boxes(samples[0].boxes[:1], gt_boxes[0][1:], stds=STDS)[0]
    losses = box_losses(torch.zeros(3, 3), deltas, samples, gt_boxes, delta_stds=STDS)
    assert losses["loss_bbox"].item() == pytest.approx(0, abs=1e-5)


def test_giou_is_of_the_decoded_box_times_its_weight() -> None:
    samples = [sample([[0.0, 0, 10, 10]], [0], [0])]
    losses = box_losses(
        torch.zeros(1, 3),
        torch.zeros(1, 2, 4),
        samples,
        [torch.tensor([[0.0, 0, 20, 10]])],
        delta_stds=STDS,
        giou_weight=10.0,
    )
    assert losses["loss_bbox"].item() == pytest.approx(10 * 0.5)


def test_a_head_is_built_in_the_sizes_of_the_config() -> None:
    config = TwoStageDetectorConfig(
        backbone=SwinConfig(embed_dim=8, depths=(1,) * 4, num_heads=(1,) * 4),
        num_classes=3,
        fpn_channels=4,
        box=BoxConfig(roi_size=2, num_convs=1, conv_channels=6, num_fcs=2, fc_channels=8),
    )
    shapes = {name: value.shape for name, value in build_box_head(config).state_dict().items()}
    expected = tiny_head(num_convs=1).state_dict()
    assert shapes == {name: value.shape for name, value in expected.items()}
