"""What every two-stage detector shares: the way through its parts."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.config import TwoStageDetectorConfig
from swin_dense.heads.detection.fpn import FPN
from swin_dense.heads.detection.rpn import (
    RPNHead,
    RPNOutputs,
    propose,
    rpn_losses,
    sample_anchors,
)
from swin_dense.heads.detection.targets import (
    DetectionResult,
    DetectionTarget,
    check_targets,
    move_target,
)
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images


class RoIHeads(nn.Module):
    """What a detector does with its proposals; a subclass says how."""

    def forward(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            targets: one per image.
            batch: the images that the pyramid was made from.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError

    def predict(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
    ) -> list[DetectionResult]:
        """Find objects.

        Args:
            pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            sizes: true (height, width) of each input image.
            original_sizes: (height, width) of each image before it was resized.

        Returns:
            One result per image, in the original frame.
        """
        raise NotImplementedError


class TwoStageDetector(Model):
    """Backbone, pyramid, proposals; then the RoI heads, which a subclass builds.

    Arguments as `Model`'s.
    """

    task: ClassVar[str] = "detection"
    class_layers: ClassVar[tuple[str, ...]] = ("fc_cls", "fc_reg", "conv_logits")

    config: TwoStageDetectorConfig

    def __init__(
        self,
        config: TwoStageDetectorConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        self.strides = tuple(self.pyramid.strides)
        self.neck = FPN(self.pyramid.channels, channels=config.fpn_channels)
        self.rpn_head = RPNHead(
            config.fpn_channels,
            strides=(*self.strides, 2 * self.strides[-1]),
            anchor_scale=config.rpn.anchor_scale,
            anchor_ratios=config.rpn.anchor_ratios,
        )
        self.roi_head = self.build_roi_head()

    def build_roi_head(self) -> RoIHeads:
        """Make what works on the proposals, from `self.config` and `self.strides`."""
        raise NotImplementedError

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[DetectionTarget]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: the objects of each image; there may be none.

        Returns:
            Scalars, already weighted: their sum is what to minimise.

        Raises:
            ValueError: targets do not fit the images.
        """
        batch = self._batch(images)
        check_targets(targets, batch.sizes, num_classes=self.config.num_classes)
        targets = [move_target(target, batch.pixels.device) for target in targets]
        rpn = self.config.rpn
        pyramid = self.neck(self.backbone(batch.pixels))
        outputs, losses = self._train_rpn(pyramid, batch.sizes, targets)
        proposals = propose(
            outputs,
            batch.sizes,
            nms_pre=rpn.train_nms_pre,
            max_proposals=rpn.train_max_proposals,
            nms_iou=rpn.nms_iou,
        )
        boxes = [boxes for boxes, _ in proposals]
        return losses | self.roi_head(pyramid, boxes, targets, batch)

    def _train_rpn(
        self,
        pyramid: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[DetectionTarget],
    ) -> tuple[RPNOutputs, dict[str, Tensor]]:
        """What is said about each anchor, for the proposals, and the losses of those sampled."""
        rpn, head = self.config.rpn, self.rpn_head
        is_sparse = rpn.num_samples is not None and head.use_sparse_forward(
            pyramid, rpn.num_samples
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_sparse):
            outputs = head(pyramid)
        if (
            is_sparse
        ):  # autocast of torch 2.9 would give `forward_at_anchors` weights cast without gradient
            torch.clear_autocast_cache()
        samples = sample_anchors(
            outputs.anchors,
            sizes,
            [target["boxes"] for target in targets],
            size_divisor=self.config.size_divisor,
            allowed_border=rpn.allowed_border,
            positive_iou=rpn.positive_iou,
            negative_iou=rpn.negative_iou,
            min_positive_iou=rpn.min_positive_iou,
            num_samples=rpn.num_samples,
            positive_fraction=rpn.positive_fraction,
        )
        logits, deltas = outputs.logits, outputs.deltas
        if samples.indices is not None and is_sparse:
            logits, deltas = head.forward_at_anchors(pyramid, samples.indices)
        elif samples.indices is not None:
            logits = logits.gather(1, samples.indices)
            deltas = deltas.gather(1, samples.indices[..., None].expand(-1, -1, 4))
        losses = rpn_losses(logits, deltas, samples, smooth_l1_beta=rpn.smooth_l1_beta)
        return outputs, losses

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[DetectionResult]:
        """Find objects, as in eval mode whatever the mode of the model.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: (height, width) of each image before it was resized; results are then in
                that frame. None: results are in the frame of the images given.

        Returns:
            One result per image, on the model's device; empty tensors where nothing is found.

        Raises:
            ValueError: there is another number of sizes than of images, or one is below 1 px.
        """
        batch = self._batch(images)
        wanted = batch.sizes if original_sizes is None else original_sizes
        if len(wanted) != len(batch):
            raise ValueError(
                f"original_sizes must be one an image, got {len(wanted)} for {len(batch)} images"
            )
        if any(min(size) < 1 for size in wanted):
            raise ValueError(f"original_sizes must be at least 1 px, got {list(wanted)}")
        with in_eval_mode(self):
            return self._predict(batch, wanted)

    def _predict(
        self, batch: ImageBatch, original_sizes: Sequence[tuple[int, int]]
    ) -> list[DetectionResult]:
        rpn = self.config.rpn
        pyramid = self.neck(self.backbone(batch.pixels))
        proposals = propose(
            self.rpn_head(pyramid),
            batch.sizes,
            nms_pre=rpn.test_nms_pre,
            max_proposals=rpn.test_max_proposals,
            nms_iou=rpn.nms_iou,
        )
        boxes = [boxes for boxes, _ in proposals]
        return self.roi_head.predict(pyramid, boxes, batch.sizes, original_sizes)

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, in its type, normalised and padded."""
        weight = next(self.parameters())
        if not isinstance(images, ImageBatch):
            images = batch_images(images, weight.device, size_divisor=self.config.size_divisor)
        return images.to(weight.device, weight.dtype)
