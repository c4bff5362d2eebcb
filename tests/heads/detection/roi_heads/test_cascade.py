"""RoI heads of Cascade Mask R-CNN, stage by stage by hand."""

import pytest
import torch
from one_size import of_one_size
from torch import Tensor, nn

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import BoxConfig, CascadeMaskRCNNConfig, MaskConfig
from swin_dense.heads.detection.roi_heads.cascade import CascadeRoIHeads
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids

TINY = CascadeMaskRCNNConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4),
    num_classes=2,
    fpn_channels=8,
    box=BoxConfig(num_convs=1, conv_channels=8, num_fcs=1, fc_channels=8, num_samples=None),
    mask=MaskConfig(num_convs=1, channels=8),
)


class FixedHead(nn.Module):
    """The same logits and deltas for every box."""

    def __init__(self, logits: list[float], deltas: list[list[float]]) -> None:
        super().__init__()
        self.logits, self.deltas = torch.tensor(logits), torch.tensor(deltas)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        num = len(pooled)
        return self.logits.expand(num, -1), self.deltas.expand(num, -1, -1)


def head_of(*stages: FixedHead) -> tuple[CascadeRoIHeads, Pyramids]:
    """A cascade of these box heads, and a pyramid of one level for one image of 64 x 64 px."""
    head = CascadeRoIHeads(TINY, strides=(4,))
    head.bbox_head = nn.ModuleList(stages)
    return head, of_one_size([torch.zeros(1, 8, 16, 16)])


def test_boxes_move_stage_by_stage_and_logits_are_averaged() -> None:
    # Class 1 is the best but background in stage 1, class 0 in stage 2; the last stage moves both.
    right, down, still = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.0, 0, 0, 0]
    head, pyramids = head_of(
        FixedHead([0.0, 1, 9], [still, right]),
        FixedHead([6.0, 2, 0], [down, still]),
        FixedHead([0.0, 0, 0], [still, still]),
    )
    (result,) = head.predict(pyramids, [torch.tensor([[8.0, 8, 28, 28]])], [(64, 64)], [(64, 64)])
    mean = torch.tensor([2.0, 1, 3]).softmax(0)
    torch.testing.assert_close(result["scores"], mean[:2])
    # 0.1 of 20 px to the right, then 0.05 of 20 px down.
    expected = torch.tensor([[10.0, 9, 30, 29]]).expand(2, 4)
    torch.testing.assert_close(result["boxes"], expected)
    assert result["labels"].tolist() == [0, 1]


def test_the_next_stage_trains_on_refined_proposals_and_ground_truth_as_it_is() -> None:
    num_boxes = []

    class Recorder(FixedHead):
        """Remembers the numbers of its boxes."""

        def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
            num_boxes.append(len(pooled))
            return super().forward(pooled)

    still = [[0.0, 0, 0, 0]] * 2
    head, pyramids = head_of(*(Recorder([0.0, 0, 5], still) for _ in range(3)))
    target = {
        "boxes": torch.tensor([[8.0, 8, 28, 28]]),
        "labels": torch.tensor([0]),
        "masks": torch.ones(1, 64, 64),
    }
    # Overlaps with the ground truth: 0.65 (positive in stages 1 and 2) and none.
    proposals = torch.tensor([[8.0, 8, 28, 21], [40, 40, 60, 60]])
    batch = ImageBatch(torch.zeros(1, 3, 64, 64), ((64, 64),))
    losses = head(pyramids, [proposals], [target], batch, [torch.Generator()])
    assert num_boxes == [3, 3, 3]
    giou = 1 - 0.65
    assert losses["s0.loss_bbox"].item() == pytest.approx(10 * giou / 3, rel=1e-4)
    assert losses["s1.loss_bbox"].item() == pytest.approx(0.5 * 10 * giou / 3, rel=1e-4)
    assert losses["s2.loss_bbox"].item() == pytest.approx(0, abs=1e-6)
    assert set(losses) == {
        f"s{stage}.loss_{part}" for stage in range(3) for part in ("cls", "bbox", "mask")
    }
