"""Box head: shapes, losses by hand, selection of detections."""

import math

import pytest
import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import encode_boxes
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.roi_heads.box_head import BoxHead, box_losses, select_detections

STDS = (0.1, 0.1, 0.2, 0.2)
SELECTION = {
    "delta_stds": STDS,
    "size": (100, 100),
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 100,
}


def sample(boxes: list[list[float]], labels: list[int], objects: list[int]) -> RoISamples:
    """Boxes of one image; the first `len(objects)` are positives."""
    return RoISamples(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        objects=torch.tensor(objects, dtype=torch.int64),
        are_objects=torch.zeros(len(labels), dtype=torch.bool),
    )


def logits_of(scores: list[list[float]]) -> Tensor:
    """Logits whose softmax are these scores of two classes, the rest being background."""
    known = torch.tensor(scores)
    return torch.cat([known, 1 - known.sum(1, keepdim=True)], dim=1).log()


def test_outputs_have_background_last_and_deltas_per_class() -> None:
    head = BoxHead(4, 3, roi_size=2, num_fcs=2, fc_channels=8)
    logits, deltas = head(torch.randn(5, 4, 2, 2))
    assert logits.shape == (5, 4)
    assert deltas.shape == (5, 3, 4)


@pytest.mark.parametrize("num_convs", [0, 2])
def test_every_parameter_gets_a_gradient_even_from_no_boxes(num_convs: int) -> None:
    head = BoxHead(4, 3, roi_size=2, num_convs=num_convs, conv_channels=6, fc_channels=8)
    for num in (3, 0):
        logits, deltas = head(torch.randn(num, 4, 2, 2))
        (logits.sum() + deltas.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert all(buffer.isfinite().all() for buffer in head.buffers())


def test_names_are_the_published_ones() -> None:
    names = set(BoxHead(4, 3, roi_size=2, num_convs=1, num_fcs=1).state_dict())
    assert {"shared_convs.0.conv.weight", "shared_convs.0.bn.running_mean"} <= names
    assert {"shared_fcs.0.weight", "fc_cls.bias", "fc_reg.weight"} <= names
    assert "shared_convs.0.conv.bias" not in names


def test_losses_of_two_images_by_hand() -> None:
    objects = [torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10]]), torch.zeros(0, 4)]
    samples = [
        sample([[0.0, 0, 10, 10], [50, 50, 60, 60]], [1, 2], [1]),
        sample([[5.0, 5, 9, 9]], [2], []),
    ]
    deltas = torch.zeros(3, 2, 4)
    losses = box_losses(torch.zeros(3, 3), deltas, samples, objects, delta_stds=STDS)
    # The positive is to move by half its width and to double it.
    expected = (0.5 / 0.1 + math.log(2) / 0.2) / 3
    assert losses["loss_bbox"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["loss_cls"].item() == pytest.approx(math.log(3))
    deltas[0, 1] = encode_boxes(samples[0].boxes[:1], objects[0][1:], stds=STDS)[0]
    losses = box_losses(torch.zeros(3, 3), deltas, samples, objects, delta_stds=STDS)
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


def test_detections_are_decoded_clipped_and_sorted_per_class() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [90, 90, 110, 110]])
    logits = logits_of([[0.6, 0.3], [0.5, 0.04], [0.02, 0.8]])
    deltas = torch.zeros(3, 2, 4)
    deltas[0, 1, 0] = 10.0  # class 1 of the first box moves by its width
    found = select_detections(boxes, logits, deltas, **SELECTION)
    assert found.labels.tolist() == [1, 0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.6, 0.3]))
    assert found.boxes.tolist() == [[90, 90, 100, 100], [0, 0, 10, 10], [10, 0, 20, 10]]


def test_no_more_detections_than_asked_and_none_from_nothing() -> None:
    boxes = torch.tensor([[10.0 * i, 0, 10 * i + 9, 9] for i in range(5)])
    logits = logits_of([[0.1 + 0.1 * i, 0] for i in range(5)])
    found = select_detections(
        boxes, logits, torch.zeros(5, 2, 4), **(SELECTION | {"max_detections": 2})
    )
    torch.testing.assert_close(found.scores, torch.tensor([0.5, 0.4]))
    none = select_detections(
        torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0, 2, 4), **SELECTION
    )
    assert none.boxes.shape == (0, 4)
    assert none.labels.dtype == torch.int64
