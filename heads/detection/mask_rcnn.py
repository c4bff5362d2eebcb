"""Mask R-CNN (He et al. 2017) on a Swin Transformer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.matching import sample_rois
from swin_dense.heads.detection.config import TwoStageDetectorConfig
from swin_dense.heads.detection.roi_heads.box_head import (
    BoxHead,
    Detections,
    box_losses,
    select_detections,
)
from swin_dense.heads.detection.roi_heads.mask_head import (
    MaskHead,
    mask_head_loss,
    paste_masks,
    predict_masks,
)
from swin_dense.heads.detection.roi_heads.roi_pool import boxes_to_rois, pool_rois
from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget
from swin_dense.heads.detection.two_stage import RoIHeads, TwoStageDetector
from swin_dense.padding import ImageBatch


@dataclass(frozen=True, kw_only=True)
class MaskRCNNConfig(TwoStageDetectorConfig):
    """Mask R-CNN; defaults are the released COCO models'.

    Attributes:
        positive_iou: overlap from which a proposal is an object, below it is background.
        delta_stds: scale of the box head's deltas.
    """

    positive_iou: float = 0.5
    delta_stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)


class MaskRCNN(TwoStageDetector):
    """Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    config: MaskRCNNConfig

    def build_roi_head(self) -> RoIHeads:
        """See `TwoStageDetector`."""
        return StandardRoIHeads(self.config, strides=self.strides)


class StandardRoIHeads(RoIHeads):
    """Box head and mask head side by side on the same proposals.

    Args:
        config: of the whole model.
        strides: of the levels that boxes are pooled from, px.
    """

    def __init__(self, config: MaskRCNNConfig, *, strides: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.bbox_head = build_box_head(config)
        self.mask_head = build_mask_head(config)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
    ) -> dict[str, Tensor]:
        """See `RoIHeads`; `loss_cls`, `loss_bbox`, `loss_mask`."""
        config = self.config
        samples = [
            sample_rois(
                boxes,
                target["boxes"],
                target["labels"],
                num_classes=config.num_classes,
                positive_iou=config.positive_iou,
                match_low_quality=True,
                num_samples=config.box.num_samples,
                positive_fraction=config.box.positive_fraction,
            )
            for boxes, target in zip(proposals, targets, strict=True)
        ]
        logits, deltas = self._bbox_forward(pyramid, [sample.boxes for sample in samples])
        losses = box_losses(
            logits,
            deltas,
            samples,
            [target["boxes"] for target in targets],
            delta_stds=config.delta_stds,
        )
        losses["loss_mask"] = mask_head_loss(
            self.mask_head,
            pyramid,
            samples,
            [target["masks"] for target in targets],
            strides=self.strides,
            roi_size=config.mask.roi_size,
            batch_size=(batch.pixels.shape[-2], batch.pixels.shape[-1]),
        )
        return losses

    def predict(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
    ) -> list[DetectionResult]:
        """See `RoIHeads`."""
        logits, deltas = self._bbox_forward(pyramid, proposals)
        detections = postprocess_boxes(
            self.config, proposals, logits, deltas, sizes=sizes, delta_stds=self.config.delta_stds
        )
        masks = predict_masks(
            [self.mask_head],
            pyramid,
            detections,
            strides=self.strides,
            roi_size=self.config.mask.roi_size,
        )
        return rescale_to_original(detections, masks, sizes=sizes, original_sizes=original_sizes)

    def _bbox_forward(
        self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits `(R, K + 1)` and deltas `(R, K, 4)` of the boxes of all images."""
        pooled = pool_rois(
            pyramid,
            boxes_to_rois(boxes),
            strides=self.strides,
            output_size=self.config.box.roi_size,
        )
        return self.bbox_head(pooled)


def build_box_head(config: TwoStageDetectorConfig) -> BoxHead:
    """One box head as the config says."""
    return BoxHead(
        config.fpn_channels,
        config.num_classes,
        roi_size=config.box.roi_size,
        num_convs=config.box.num_convs,
        conv_channels=config.box.conv_channels,
        num_fcs=config.box.num_fcs,
        fc_channels=config.box.fc_channels,
    )


def build_mask_head(config: TwoStageDetectorConfig) -> MaskHead:
    """One mask head as the config says."""
    return MaskHead(
        config.fpn_channels,
        config.num_classes,
        num_convs=config.mask.num_convs,
        channels=config.mask.channels,
    )


def postprocess_boxes(
    config: TwoStageDetectorConfig,
    boxes: Sequence[Tensor],
    logits: Tensor,
    deltas: Tensor,
    *,
    sizes: Sequence[tuple[int, int]],
    delta_stds: Sequence[float],
) -> list[Detections]:
    """Split a box head's outputs by image and select the detections of each, in the input frame."""
    counts = [len(part) for part in boxes]
    return [
        select_detections(
            *image,
            delta_stds=delta_stds,
            size=size,
            score_threshold=config.box.score_threshold,
            nms_iou=config.box.nms_iou,
            max_detections=config.box.max_detections,
        )
        for *image, size in zip(
            boxes, logits.split(counts), deltas.split(counts), sizes, strict=True
        )
    ]


def rescale_to_original(
    detections: Sequence[Detections],
    masks: Sequence[Tensor],
    *,
    sizes: Sequence[tuple[int, int]],
    original_sizes: Sequence[tuple[int, int]],
) -> list[DetectionResult]:
    """Take detections to the images as they were before they were resized.

    After the suppression, as mmdetection 3 does where there are masks (its version 2: before). The
    overlaps are the same in either frame but for rounding.

    Args:
        detections: one per image, in the input frame.
        masks: `(N, m, m)` in 0..1 per image, each of its box.
        sizes: true (height, width) of each input image.
        original_sizes: (height, width) of each image before it was resized.

    Returns:
        One result per image.
    """
    results: list[DetectionResult] = []
    for found, part, size, original in zip(detections, masks, sizes, original_sizes, strict=True):
        y, x = size[0] / original[0], size[1] / original[1]
        factors = torch.tensor([x, y, x, y]).to(found.boxes.device, non_blocking=True)
        boxes = found.boxes / factors
        pasted = paste_masks(part, boxes, original)
        results.append(
            {"boxes": boxes, "scores": found.scores, "labels": found.labels, "masks": pasted}
        )
    return results
