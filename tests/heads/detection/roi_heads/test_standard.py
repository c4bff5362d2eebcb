"""RoI heads of Mask R-CNN with fixed outputs, by hand."""

import math

import pytest
import torch
from one_size import of_one_size
from torch import Tensor, nn

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import BoxConfig, MaskConfig, MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.standard import StandardRoIHeads
from swin_dense.padding import ImageBatch

TINY = MaskRCNNConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4),
    num_classes=2,
    fpn_channels=8,
    box=BoxConfig(fc_channels=8, num_samples=None),
    mask=MaskConfig(num_convs=1, channels=8),
)


class FixedBoxHead(nn.Module):
    """The same logits and deltas for every box."""

    def __init__(self, logits: list[float], deltas: list[list[float]]) -> None:
        super().__init__()
        self.logits, self.deltas = torch.tensor(logits), torch.tensor(deltas)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        num = len(pooled)
        return self.logits.expand(num, -1), self.deltas.expand(num, -1, -1)


class FixedMaskHead(nn.Module):
    """Class 0 covers the left half of every box, class 1 all of it."""

    def forward(self, pooled: Tensor) -> Tensor:
        logits = torch.full((len(pooled), 2, 28, 28), 20.0)
        logits[:, 0, :, 14:] = -20.0
        return logits


def fixed_heads(logits: list[float], deltas: list[list[float]]) -> StandardRoIHeads:
    """RoI heads with these outputs."""
    heads = StandardRoIHeads(TINY, strides=(4,))
    heads.bbox_head, heads.mask_head = FixedBoxHead(logits, deltas), FixedMaskHead()
    return heads


def test_boxes_move_once_and_each_class_has_its_mask_in_the_original_frame() -> None:
    # Class 0 stays, class 1 moves by 0.1 of 20 px to the right; 64 x 64 px came from 128 x 64.
    heads = fixed_heads([2.0, 1, 0], [[0.0, 0, 0, 0], [1.0, 0, 0, 0]])
    (result,) = heads.predict(
        of_one_size([torch.zeros(1, 8, 16, 16)]),
        [torch.tensor([[8.0, 8, 28, 28]])],
        [(64, 64)],
        [(128, 64)],
    )
    torch.testing.assert_close(result["scores"], torch.tensor([2.0, 1, 0]).softmax(0)[:2])
    assert result["labels"].tolist() == [0, 1]
    torch.testing.assert_close(result["boxes"], torch.tensor([[8.0, 16, 28, 56], [10, 16, 30, 56]]))
    expected = torch.zeros(2, 128, 64, dtype=torch.bool)
    expected[0, 16:56, 8:18] = True
    expected[1, 16:56, 10:30] = True
    assert torch.equal(result["masks"], expected)


def test_losses_of_a_proposal_by_hand() -> None:
    heads = fixed_heads([0.0, 0, 0], [[0.0] * 4] * 2)
    target = {
        "boxes": torch.tensor([[8.0, 8, 28, 28]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 64, 64),
    }
    # The first overlaps the ground truth by 0.8, the second not at all.
    proposals = torch.tensor([[8.0, 8, 28, 24], [40, 40, 60, 60]])
    batch = ImageBatch(torch.zeros(1, 3, 64, 64), ((64, 64),))
    pyramids = of_one_size([torch.zeros(1, 8, 16, 16)])
    losses = heads(pyramids, [proposals], [target], batch, [torch.Generator()])
    assert set(losses) == {"loss_cls", "loss_bbox", "loss_mask"}
    assert losses["loss_cls"].item() == pytest.approx(math.log(3))
    # Of three boxes, the proposal alone is to move: by 2 of 16 px, and to grow to 20 of 16 px.
    expected = (2 / 16 / 0.1 + math.log(20 / 16) / 0.2) / 3
    assert losses["loss_bbox"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["loss_mask"].item() == pytest.approx(0, abs=1e-6)


def test_a_proposal_is_a_low_quality_match_of_ground_truth_it_overlaps_less() -> None:
    heads = fixed_heads([0.0, 0, 0], [[0.0] * 4] * 2)
    # It overlaps the first by 0.9 and the second by 2 / 3, but is the best there is of both.
    proposals = torch.tensor([[8.0, 8, 28, 26]])
    target = {
        "boxes": torch.tensor([[8.0, 8, 28, 28], [8, 8, 28, 20]]),
        "labels": torch.tensor([0, 1]),
        "masks": torch.ones(2, 64, 64),
    }
    batch = ImageBatch(torch.zeros(1, 3, 64, 64), ((64, 64),))
    pyramids = of_one_size([torch.zeros(1, 8, 16, 16)])
    losses = heads(pyramids, [proposals], [target], batch, [torch.Generator()])
    # Of three boxes, the proposal alone is to move: by 3 of 18 px, and to shrink to 12 of 18 px.
    expected = (3 / 18 / 0.1 + math.log(18 / 12) / 0.2) / 3
    assert losses["loss_bbox"].item() == pytest.approx(expected, rel=1e-5)
