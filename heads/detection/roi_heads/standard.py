"""RoI heads of Faster R-CNN and Mask R-CNN (He et al. 2017): a box head, and a mask head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.matching import sample_rois
from swin_dense.heads.detection.config import FasterRCNNConfig, MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.box_head import box_losses, build_box_head
from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.heads.detection.roi_heads.mask_head import build_mask_head, mask_head_loss
from swin_dense.heads.detection.roi_heads.roi_pool import pool_rois
from swin_dense.heads.detection.targets import DetectionTarget
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids


class StandardRoIHeads(RoIHeads):
    """Box head, and where the config has one a mask head, side by side on the same proposals.

    Arguments as `RoIHeads`'.
    """

    config: FasterRCNNConfig

    def __init__(self, config: FasterRCNNConfig, *, strides: Sequence[int]) -> None:
        super().__init__(config, strides=strides)
        self.bbox_head = build_box_head(config)
        if isinstance(config, MaskRCNNConfig):
            self.mask_head = build_mask_head(config)

    def forward(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """See `RoIHeads`; `loss_cls`, `loss_bbox`, and with a mask head `loss_mask`."""
        config = self.config
        gt_boxes = [target["boxes"] for target in targets]
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
                generator=generator,
            )
            for boxes, target, generator in zip(proposals, targets, generators, strict=True)
        ]
        logits, deltas = self._bbox_forward(pyramids, [sample.boxes for sample in samples])
        losses = box_losses(logits, deltas, samples, gt_boxes, delta_stds=config.delta_stds)
        if isinstance(config, MaskRCNNConfig):
            losses["loss_mask"] = mask_head_loss(
                self.mask_head,
                pyramids,
                samples,
                targets,
                strides=self.strides,
                roi_size=config.mask.roi_size,
                padded_sizes=batch.padded_sizes,
            )
        return losses

    def predict_boxes(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """See `RoIHeads`; the regions are the proposals."""
        del sizes
        return proposals, *self._bbox_forward(pyramids, proposals)

    @property
    def last_delta_stds(self) -> Sequence[float]:
        """See `RoIHeads`."""
        return self.config.delta_stds

    @property
    def mask_heads(self) -> list[nn.Module]:
        """See `RoIHeads`."""
        return [self.mask_head]

    def _bbox_forward(self, pyramids: Pyramids, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits `(R, K + 1)` and deltas `(R, K, 4)` of the boxes of all images."""
        pooled = pool_rois(
            pyramids, boxes, strides=self.strides, output_size=self.config.box.roi_size
        )
        return self.bbox_head(pooled)
