"""RoI heads of Cascade (Mask) R-CNN (Cai and Vasconcelos 2018, 2019): heads of each stage."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.box_ops import clip_boxes, decode_boxes
from swin_dense.heads.detection.boxes.matching import sample_rois
from swin_dense.heads.detection.config import CascadeMaskRCNNConfig, CascadeRCNNConfig
from swin_dense.heads.detection.roi_heads.box_head import box_losses, build_box_head
from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.heads.detection.roi_heads.mask_head import build_mask_head, mask_head_loss
from swin_dense.heads.detection.roi_heads.roi_pool import pool_rois
from swin_dense.heads.detection.targets import DetectionTarget
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids


class CascadeRoIHeads(RoIHeads):
    """A box head per stage, and where the config has one a mask head; each stage refines boxes.

    Arguments as `RoIHeads`'.
    """

    config: CascadeRCNNConfig

    def __init__(self, config: CascadeRCNNConfig, *, strides: Sequence[int]) -> None:
        super().__init__(config, strides=strides)
        stages = range(len(config.stage_ious))
        self.bbox_head = nn.ModuleList(build_box_head(config) for _ in stages)
        if isinstance(config, CascadeMaskRCNNConfig):
            self.mask_head = nn.ModuleList(build_mask_head(config) for _ in stages)

    def forward(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
        generators: Sequence[torch.Generator],
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
                    generator=generator,
                )
                for boxes, target, generator in zip(proposals, targets, generators, strict=True)
            ]
            boxes = [sample.boxes for sample in samples]
            logits, deltas = self._bbox_forward(stage, pyramids, boxes)
            stage_losses = box_losses(
                logits,
                deltas,
                samples,
                gt_boxes,
                delta_stds=config.stage_delta_stds[stage],
                giou_weight=config.giou_weight,
            )
            if isinstance(config, CascadeMaskRCNNConfig):
                stage_losses["loss_mask"] = mask_head_loss(
                    self.mask_head[stage],
                    pyramids,
                    samples,
                    targets,
                    strides=self.strides,
                    roi_size=config.mask.roi_size,
                    padded_sizes=batch.padded_sizes,
                )
            losses |= {f"s{stage}.{name}": weight * loss for name, loss in stage_losses.items()}
            # The next stage samples from the refined boxes, but ground truth only as it is.
            labels = torch.cat([sample.labels for sample in samples])
            labels = torch.where(labels < config.num_classes, labels, logits[:, :-1].argmax(1))
            refined = self._refine(stage, boxes, deltas, labels, batch.sizes)
            proposals = [
                image_boxes[~sample.is_gt]
                for image_boxes, sample in zip(refined, samples, strict=True)
            ]
        return losses

    def predict_boxes(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """See `RoIHeads`; regions and deltas of the last stage, the mean of all stages' logits."""
        num_stages = len(self.bbox_head)
        boxes, all_logits = proposals, []
        for stage in range(num_stages):
            logits, deltas = self._bbox_forward(stage, pyramids, boxes)
            all_logits.append(logits)
            if stage < num_stages - 1:
                boxes = self._refine(stage, boxes, deltas, logits[:, :-1].argmax(1), sizes)
        return boxes, torch.stack(all_logits).mean(dim=0), deltas

    @property
    def last_delta_stds(self) -> Sequence[float]:
        """See `RoIHeads`."""
        return self.config.stage_delta_stds[-1]

    @property
    def mask_heads(self) -> list[nn.Module]:
        """See `RoIHeads`."""
        return list(self.mask_head)

    def _bbox_forward(
        self, stage: int, pyramids: Pyramids, boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Class logits `(R, K + 1)` and deltas `(R, K, 4)` of the boxes of all images."""
        pooled = pool_rois(
            pyramids, boxes, strides=self.strides, output_size=self.config.box.roi_size
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
        """Move each box `(R_i, 4)` by the deltas of its class and clip it to its image."""
        stds = self.config.stage_delta_stds[stage]
        rows = torch.arange(len(labels), device=labels.device)
        refined = decode_boxes(torch.cat(list(boxes)), deltas[rows, labels], stds=stds)  # (R, 4)
        counts = [len(image_boxes) for image_boxes in boxes]
        return [
            clip_boxes(image_boxes, size)
            for image_boxes, size in zip(refined.split(counts), sizes, strict=True)
        ]
