"""Cascade Mask R-CNN (Cai and Vasconcelos 2018, 2019) as released with Swin."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.box_ops import clip_boxes, decode_boxes
from swin_dense.heads.detection.boxes.matching import sample_rois
from swin_dense.heads.detection.config import BoxConfig, RPNConfig, TwoStageDetectorConfig
from swin_dense.heads.detection.mask_rcnn import (
    build_box_head,
    build_mask_head,
    postprocess_boxes,
    rescale_to_original,
)
from swin_dense.heads.detection.roi_heads.box_head import box_losses
from swin_dense.heads.detection.roi_heads.mask_head import mask_head_loss, predict_masks
from swin_dense.heads.detection.roi_heads.roi_pool import boxes_to_rois, pool_rois
from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget
from swin_dense.heads.detection.two_stage import RoIHeads, TwoStageDetector
from swin_dense.padding import ImageBatch


def _rpn_config() -> RPNConfig:
    return RPNConfig(allowed_border=0, smooth_l1_beta=1 / 9, train_max_proposals=2000)


def _box_config() -> BoxConfig:
    return BoxConfig(num_convs=4, num_fcs=1)


@dataclass(frozen=True, kw_only=True)
class CascadeMaskRCNNConfig(TwoStageDetectorConfig):
    """Cascade Mask R-CNN; defaults are the released COCO models'.

    Attributes:
        stage_ious: per stage the overlap from which a box is an object.
        stage_delta_stds: per stage the scale of the box head's deltas.
        stage_loss_weights: per stage what its losses are multiplied by.
        giou_weight: what the box loss is multiplied by, besides.
    """

    rpn: RPNConfig = field(default_factory=_rpn_config)
    box: BoxConfig = field(default_factory=_box_config)
    stage_ious: tuple[float, ...] = (0.5, 0.6, 0.7)
    stage_delta_stds: tuple[tuple[float, float, float, float], ...] = (
        (0.1, 0.1, 0.2, 0.2),
        (0.05, 0.05, 0.1, 0.1),
        (0.033, 0.033, 0.067, 0.067),
    )
    stage_loss_weights: tuple[float, ...] = (1.0, 0.5, 0.25)
    giou_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {
            "stage_ious": len(self.stage_ious),
            "stage_delta_stds": len(self.stage_delta_stds),
            "stage_loss_weights": len(self.stage_loss_weights),
        }
        if len(set(lengths.values())) != 1 or not self.stage_ious:
            got = ", ".join(f"{length} {name}" for name, length in lengths.items())
            raise ValueError(f"each stage must have one overlap, stds and weight, got {got}")


class CascadeMaskRCNN(TwoStageDetector):
    """Cascade Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    config: CascadeMaskRCNNConfig

    def build_roi_head(self) -> RoIHeads:
        """See `TwoStageDetector`."""
        return CascadeRoIHeads(self.config, strides=self.strides)


class CascadeRoIHeads(RoIHeads):
    """A box head and a mask head per stage; each stage works on the boxes of the one before.

    Args:
        config: of the whole model.
        strides: of the levels that boxes are pooled from, px.
    """

    def __init__(self, config: CascadeMaskRCNNConfig, *, strides: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        stages = range(len(config.stage_ious))
        self.bbox_head = nn.ModuleList(build_box_head(config) for _ in stages)
        self.mask_head = nn.ModuleList(build_mask_head(config) for _ in stages)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
    ) -> dict[str, Tensor]:
        """See `RoIHeads`; each stage's losses are named `s0.loss_cls` and so on."""
        config = self.config
        gt_boxes = [target["boxes"] for target in targets]
        losses: dict[str, Tensor] = {}
        for stage, weight in enumerate(config.stage_loss_weights):
            samples = [
                sample_rois(
                    boxes,
                    target["boxes"],
                    target["labels"],
                    num_classes=config.num_classes,
                    positive_iou=config.stage_ious[stage],
                    match_low_quality=False,
                    num_samples=config.box.num_samples,
                    positive_fraction=config.box.positive_fraction,
                )
                for boxes, target in zip(proposals, targets, strict=True)
            ]
            boxes = [sample.boxes for sample in samples]
            logits, deltas = self._bbox_forward(stage, pyramid, boxes)
            stage_losses = box_losses(
                logits,
                deltas,
                samples,
                gt_boxes,
                delta_stds=config.stage_delta_stds[stage],
                giou_weight=config.giou_weight,
            )
            stage_losses["loss_mask"] = mask_head_loss(
                self.mask_head[stage],
                pyramid,
                samples,
                [target["masks"] for target in targets],
                strides=self.strides,
                roi_size=config.mask.roi_size,
                batch_size=(batch.pixels.shape[-2], batch.pixels.shape[-1]),
            )
            losses |= {f"s{stage}.{name}": weight * loss for name, loss in stage_losses.items()}
            # The next stage sees the refined boxes, but the objects' own boxes only as they are.
            labels = torch.cat([sample.labels for sample in samples])
            labels = torch.where(labels < config.num_classes, labels, logits[:, :-1].argmax(1))
            refined = self._refine(stage, boxes, deltas, labels, batch.sizes)
            proposals = [
                part[~sample.are_objects] for part, sample in zip(refined, samples, strict=True)
            ]
        return losses

    def predict(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
    ) -> list[DetectionResult]:
        """See `RoIHeads`; the mean of the stages' logits, boxes of the last, mean of the masks."""
        num_stages = len(self.bbox_head)
        boxes, all_logits = proposals, []
        for stage in range(num_stages):
            logits, deltas = self._bbox_forward(stage, pyramid, boxes)
            all_logits.append(logits)
            if stage < num_stages - 1:
                boxes = self._refine(stage, boxes, deltas, logits[:, :-1].argmax(1), sizes)
        logits = torch.stack(all_logits).mean(dim=0)  # (R, K + 1)
        stds = self.config.stage_delta_stds[-1]
        detections = postprocess_boxes(
            self.config, boxes, logits, deltas, sizes=sizes, delta_stds=stds
        )
        masks = predict_masks(
            list(self.mask_head),
            pyramid,
            detections,
            strides=self.strides,
            roi_size=self.config.mask.roi_size,
        )
        return rescale_to_original(detections, masks, sizes=sizes, original_sizes=original_sizes)

    def _bbox_forward(
        self, stage: int, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits `(R, K + 1)` and deltas `(R, K, 4)` of the boxes of all images."""
        pooled = pool_rois(
            pyramid,
            boxes_to_rois(boxes),
            strides=self.strides,
            output_size=self.config.box.roi_size,
        )
        return self.bbox_head[stage](pooled)

    @torch.no_grad()
    def _refine(
        self,
        stage: int,
        boxes: Sequence[Tensor],
        deltas: Tensor,
        labels: Tensor,
        sizes: Sequence[tuple[int, int]],
    ) -> list[Tensor]:
        """Permutation each box `(R_i, 4)` by the deltas of its class and clip it to its image."""
        own = deltas[torch.arange(len(labels), device=labels.device), labels]  # (R, 4)
        moved = decode_boxes(torch.cat(list(boxes)), own, stds=self.config.stage_delta_stds[stage])
        counts = [len(part) for part in boxes]
        return [
            clip_boxes(part, size) for part, size in zip(moved.split(counts), sizes, strict=True)
        ]
