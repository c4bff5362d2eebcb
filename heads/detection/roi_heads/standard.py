"""RoI heads of Faster R-CNN and Mask R-CNN (He et al. 2017): a box head, and a mask head."""

from collections.abc import Sequence

from torch import Tensor

from swin_dense.heads.detection.boxes.matching import sample_rois
from swin_dense.heads.detection.config import FasterRCNNConfig, MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.box_head import box_losses, build_box_head
from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.heads.detection.roi_heads.mask_head import (
    build_mask_head,
    mask_head_loss,
    predict_masks,
)
from swin_dense.heads.detection.roi_heads.postprocessing import (
    Detections,
    drop_low_scores,
    postprocess_boxes,
    rescale_to_original,
)
from swin_dense.heads.detection.roi_heads.roi_pool import boxes_to_rois, pool_rois
from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget, MaskForm
from swin_dense.padding import ImageBatch


class StandardRoIHeads(RoIHeads):
    """Box head, and where the config has one a mask head, side by side on the same proposals.

    Args:
        config: of the whole model.
        strides: of the levels that boxes are pooled from, px.
    """

    def __init__(self, config: FasterRCNNConfig, *, strides: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.bbox_head = build_box_head(config)
        if isinstance(config, MaskRCNNConfig):
            self.mask_head = build_mask_head(config)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
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
            )
            for boxes, target in zip(proposals, targets, strict=True)
        ]
        logits, deltas = self._bbox_forward(pyramid, [sample.boxes for sample in samples])
        losses = box_losses(logits, deltas, samples, gt_boxes, delta_stds=config.delta_stds)
        if isinstance(config, MaskRCNNConfig):
            losses["loss_mask"] = mask_head_loss(
                self.mask_head,
                pyramid,
                samples,
                targets,
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
        *,
        score_threshold: float = 0.0,
        mask_form: MaskForm = "bitmaps",
    ) -> list[DetectionResult]:
        """See `RoIHeads`."""
        logits, deltas = self._bbox_forward(pyramid, proposals)
        detections: Sequence[Detections] = postprocess_boxes(
            proposals,
            logits,
            deltas,
            config=self.config.box,
            delta_stds=self.config.delta_stds,
            sizes=sizes,
        )
        detections = drop_low_scores(detections, score_threshold)
        masks = None
        if isinstance(self.config, MaskRCNNConfig):
            masks = predict_masks(
                [self.mask_head],
                pyramid,
                detections,
                strides=self.strides,
                roi_size=self.config.mask.roi_size,
            )
        return rescale_to_original(
            detections,
            masks,
            sizes=sizes,
            original_sizes=original_sizes,
            mask_form=mask_form,
        )

    def _bbox_forward(
        self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Class logits `(R, K + 1)` and deltas `(R, K, 4)` of the boxes of all images."""
        pooled = pool_rois(
            pyramid,
            boxes_to_rois(boxes),
            strides=self.strides,
            output_size=self.config.box.roi_size,
        )
        return self.bbox_head(pooled)
