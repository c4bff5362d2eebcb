"""The two-stage detector: backbone, FPN, RPN and the RoI heads that a subclass builds."""

from collections.abc import Sequence
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.matching import image_generators
from swin_dense.heads.detection.config import TwoStageDetectorConfig
from swin_dense.heads.detection.fpn import FPN
from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.heads.detection.rpn import RPNHead, RPNOutputs, propose
from swin_dense.heads.detection.targets import (
    DetectionResult,
    DetectionTarget,
    MaskForm,
    check_targets,
    move_target,
)
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.heads.whole_model import Model, result_sizes
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.pyramids import Pyramids

BOX_CLASS_LAYERS = ("fc_cls", "fc_reg")
MASK_HEAD = "roi_head.mask_head."
"""Beginning of the names of a mask head's weights."""


class TwoStageDetector(Model):
    """Backbone, pyramid, proposals; then the RoI heads, which a subclass builds.

    Arguments as `Model`'s.

    Attributes:
        gives_masks: true if it learns masks and its results have some.
    """

    task: ClassVar[str] = "detection"
    class_layers: ClassVar[tuple[str, ...]] = BOX_CLASS_LAYERS
    gives_masks: ClassVar[bool] = False

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
        """Build the RoI heads from `self.config` and `self.strides`."""
        raise NotImplementedError

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[DetectionTarget]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: the objects of each image; there may be none. Masks are asked for where the
                model gives some.

        Returns:
            Scalars, already weighted: their sum is to be minimised.

        Raises:
            ValueError: targets do not fit the images.
        """
        batch = self._batch(images)
        device = batch.pixels.device
        check_targets(
            targets,
            batch.sizes,
            num_classes=self.config.num_classes,
            with_masks=self.gives_masks,
        )
        targets = [move_target(target, device, with_masks=self.gives_masks) for target in targets]
        rpn = self.config.rpn
        gt_boxes = [target["boxes"] for target in targets]
        # Before drop path, whose draws depend on the number of images.
        generators = image_generators(len(batch), device)

        features = Pyramids.of(self.backbone, batch)
        pyramids = features.apply(self.neck)
        rpn_outputs, rpn_losses = self.rpn_head.forward_train(
            pyramids,
            batch.sizes,
            gt_boxes,
            generators,
            config=rpn,
            size_divisor=self.config.size_divisor,
        )
        limits = rpn.train_nms_pre, rpn.train_max_proposals
        proposals = self._propose(pyramids, rpn_outputs, batch.sizes, limits)
        roi_losses = self.roi_head(pyramids, proposals, targets, batch, generators)
        return rpn_losses | roi_losses

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
        score_threshold: float = 0.0,
        masks: MaskForm = "bitmaps",
    ) -> list[DetectionResult]:
        """Detect objects, as in eval mode whatever the mode of the model.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: (height, width) of each image before it was resized; results are then in
                that frame. None: results are in the frame of the images given.
            score_threshold: smallest score of a result, 0..1. What scores less costs no work and no
                memory; the config's own threshold applies besides.
            masks: "bitmaps" for `(N, H, W)` bool on the model's device, which is N bytes for each
                pixel; "run_lengths" for a list of N masks as COCO's uncompressed run lengths, the
                same pixels, in memory that does not grow with the image.

        Returns:
            One result per image, on the model's device; empty tensors where nothing is found.

        Raises:
            ValueError: there is another number of sizes than of images, or one is below 1 px; or
                the score or the form of masks is none.
        """
        batch = self._batch(images)
        sizes = result_sizes(batch, original_sizes)
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold must be in 0..1, got {score_threshold}")
        if masks not in get_args(MaskForm):
            raise ValueError(f"masks must be 'bitmaps' or 'run_lengths', got {masks!r}")
        with in_eval_mode(self):
            return self._predict(batch, sizes, score_threshold, masks)

    def _predict(
        self,
        batch: ImageBatch,
        original_sizes: Sequence[tuple[int, int]],
        score_threshold: float,
        mask_form: MaskForm,
    ) -> list[DetectionResult]:
        rpn = self.config.rpn
        features = Pyramids.of(self.backbone, batch)
        pyramids = features.apply(self.neck)
        rpn_outputs = [self.rpn_head(pyramid) for pyramid in pyramids.maps]
        limits = rpn.test_nms_pre, rpn.test_max_proposals
        proposals = self._propose(pyramids, rpn_outputs, batch.sizes, limits)
        return self.roi_head.predict(
            pyramids,
            proposals,
            batch.sizes,
            original_sizes,
            score_threshold=score_threshold,
            mask_form=mask_form,
        )

    def _propose(
        self,
        pyramids: Pyramids,
        rpn_outputs: Sequence[RPNOutputs],
        sizes: Sequence[tuple[int, int]],
        limits: tuple[int, int],
    ) -> list[Tensor]:
        """Boxes `(N, 4)` per image, as `propose`; limits are its `nms_pre` and `max_proposals`."""
        nms_pre, max_proposals = limits
        proposals = [
            propose(
                outputs,
                group_sizes,
                nms_pre=nms_pre,
                max_proposals=max_proposals,
                nms_iou=self.config.rpn.nms_iou,
            )
            for outputs, group_sizes in zip(rpn_outputs, pyramids.split(sizes), strict=True)
        ]
        return [boxes for boxes, _ in pyramids.join(proposals)]

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, in its type, to be padded as its config says."""
        weight, divisor = next(self.parameters()), self.config.size_divisor
        if not isinstance(images, ImageBatch):
            images = batch_images(images, weight.device, size_divisor=divisor)
        return images.padded_to_multiple(divisor).to(weight.device, weight.dtype)
