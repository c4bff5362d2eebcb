"""Cascade Mask R-CNN: stages by hand, published names, assembly."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from swin_dense.backbone import SwinConfig
from swin_dense.heads.detection.cascade import (
    CascadeMaskRCNN,
    CascadeMaskRCNNConfig,
    CascadeRoIHeads,
)
from swin_dense.heads.detection.config import BoxConfig, MaskConfig
from swin_dense.heads.models import MODEL_VARIANTS
from swin_dense.padding import ImageBatch

TINY = CascadeMaskRCNNConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4),
    num_classes=2,
    fpn_channels=8,
    box=BoxConfig(num_convs=1, conv_channels=8, num_fcs=1, fc_channels=8, num_samples=None),
    mask=MaskConfig(num_convs=1, channels=8),
)


class FixedHead(nn.Module):
    """Says the same of every box."""

    def __init__(self, logits: list[float], deltas: list[list[float]]) -> None:
        super().__init__()
        self.logits, self.deltas = torch.tensor(logits), torch.tensor(deltas)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        num = len(pooled)
        return self.logits.expand(num, -1), self.deltas.expand(num, -1, -1)


def head_of(*stages: FixedHead, size: tuple[int, int] = (64, 64)) -> tuple[CascadeRoIHeads, list]:
    """A cascade of these box heads, and a pyramid of one level for one image."""
    head = CascadeRoIHeads(TINY, strides=(4,))
    head.bbox_head = nn.ModuleList(stages)
    return head, [torch.zeros(1, 8, size[0] // 4, size[1] // 4)]


def test_boxes_move_stage_by_stage_and_logits_are_averaged() -> None:
    # Class 1 is the best but background in stage 1, class 0 in stage 2; the last stage moves both.
    right, down, still = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.0, 0, 0, 0]
    head, pyramid = head_of(
        FixedHead([0.0, 1, 9], [still, right]),
        FixedHead([6.0, 2, 0], [down, still]),
        FixedHead([0.0, 0, 0], [still, still]),
    )
    (result,) = head.predict(pyramid, [torch.tensor([[8.0, 8, 28, 28]])], [(64, 64)], [(64, 64)])
    mean = torch.tensor([2.0, 1, 3]).softmax(0)
    torch.testing.assert_close(result["scores"], mean[:2])
    # 0.1 of 20 px to the right, then 0.05 of 20 px down.
    expected = torch.tensor([[10.0, 9, 30, 29]]).expand(2, 4)
    torch.testing.assert_close(result["boxes"], expected)
    assert result["labels"].tolist() == [0, 1]


def test_the_next_stage_trains_on_refined_proposals_and_the_objects_as_they_are() -> None:
    seen = []

    class Recorder(FixedHead):
        """Remembers how many boxes it was asked about."""

        def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(len(pooled))
            return super().forward(pooled)

    still = [[0.0, 0, 0, 0]] * 2
    head, pyramid = head_of(*(Recorder([0.0, 0, 5], still) for _ in range(3)))
    target = {
        "boxes": torch.tensor([[8.0, 8, 28, 28]]),
        "labels": torch.tensor([0]),
        "masks": torch.ones(1, 64, 64),
    }
    # Overlaps with the object: 0.65 (positive in stages 1 and 2) and none.
    proposals = torch.tensor([[8.0, 8, 28, 21], [40, 40, 60, 60]])
    batch = ImageBatch(torch.zeros(1, 3, 64, 64), ((64, 64),))
    losses = head(pyramid, [proposals], [target], batch)
    assert seen == [3, 3, 3]
    giou = 1 - 0.65
    assert losses["s0.loss_bbox"].item() == pytest.approx(10 * giou / 3, rel=1e-4)
    assert losses["s1.loss_bbox"].item() == pytest.approx(0.5 * 10 * giou / 3, rel=1e-4)
    assert losses["s2.loss_bbox"].item() == pytest.approx(0, abs=1e-6)
    assert set(losses) == {
        f"s{stage}.loss_{part}" for stage in range(3) for part in ("cls", "bbox", "mask")
    }


def test_stages_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 stage_ious, 3 stage_delta_stds"):
        dataclasses.replace(TINY, stage_ious=(0.5, 0.6))


def test_defaults_are_the_released_models() -> None:
    config = MODEL_VARIANTS["cascade_mask_rcnn_swin_t"]
    assert isinstance(config, CascadeMaskRCNNConfig)
    assert config.rpn.allowed_border == 0
    assert config.rpn.train_max_proposals == 2000
    assert config.rpn.smooth_l1_beta == pytest.approx(1 / 9)
    with torch.device("meta"):
        model = CascadeMaskRCNN(config)
    shapes = {name: tuple(value.shape) for name, value in model.roi_head.state_dict().items()}
    assert shapes == released_roi_head_shapes()


def released_roi_head_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the RoI heads in the published COCO files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for stage in range(3):
        box, mask = f"bbox_head.{stage}", f"mask_head.{stage}"
        layers: dict[str, tuple[int, ...]] = {
            f"{box}.shared_fcs.0": (1024, 256 * 49),
            f"{box}.fc_cls": (81, 1024),
            f"{box}.fc_reg": (320, 1024),
            f"{mask}.upsample": (256, 256, 2, 2),
            f"{mask}.conv_logits": (80, 256, 1, 1),
        }
        layers |= {f"{mask}.convs.{i}.conv": (256, 256, 3, 3) for i in range(4)}
        shapes |= {f"{name}.weight": shape for name, shape in layers.items()}
        shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
        for i in range(4):
            conv = f"{box}.shared_convs.{i}"
            shapes[f"{conv}.conv.weight"] = (256, 256, 3, 3)
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{conv}.bn.{name}"] = (256,)
            shapes[f"{conv}.bn.num_batches_tracked"] = ()
    return shapes
