"""What every two-stage detector shares: configs, targets, and the way through its parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

import torch
from torch import Tensor, nn

from swin_dense.backbone import SwinConfig, SwinTransformer
from swin_dense.heads.fpn import FPN
from swin_dense.heads.rpn import RPNHead, propose, rpn_losses
from swin_dense.padding import ImageBatch, batch_images


class DetectionTarget(TypedDict):
    """The objects of one image, without crowds.

    Keys:
        boxes: `(G, 4)` float32, xyxy, px of the input frame.
        labels: `(G,)` int64 in 0..K-1.
        masks: `(G, H, W)` bool or uint8, at the image's true size.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor


class DetectionResult(TypedDict):
    """What was found on one image, best first.

    Keys:
        boxes: `(N, 4)` float32, xyxy, px.
        scores: `(N,)` float32 in 0..1.
        labels: `(N,)` int64 in 0..K-1.
        masks: `(N, H, W)` bool.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor


@dataclass(frozen=True, kw_only=True)
class RPNConfig:
    """Region proposal network; defaults are the released Mask R-CNN models'.

    Attributes:
        anchor_scale: side of a square anchor, in strides.
        anchor_ratios: height over width of a cell's anchors.
        positive_iou: overlap from which an anchor is an object.
        negative_iou: overlap below which it is background.
        min_positive_iou: overlap from which an object's best anchors are its own.
        allowed_border: px by which an anchor in training may leave the image; None is any.
        num_samples: anchors an image trained on; None is all.
        positive_fraction: largest share of objects among them.
        smooth_l1_beta: of the box loss; 0 is L1.
        nms_iou: overlap at which a proposal is suppressed.
        train_nms_pre: boxes per level before suppression, in training.
        train_max_proposals: boxes per image after it, in training.
        test_nms_pre: boxes per level before suppression, in inference.
        test_max_proposals: boxes per image after it, in inference.
    """

    anchor_scale: float = 8.0
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    min_positive_iou: float = 0.3
    allowed_border: int | None = None
    num_samples: int | None = 256
    positive_fraction: float = 0.5
    smooth_l1_beta: float = 0.0
    nms_iou: float = 0.7
    train_nms_pre: int = 2000
    train_max_proposals: int = 1000
    test_nms_pre: int = 1000
    test_max_proposals: int = 1000


@dataclass(frozen=True, kw_only=True)
class BoxConfig:
    """Box head; defaults are the released Mask R-CNN models'.

    Attributes:
        roi_size: bins per side of the pooled features.
        num_convs: 3 x 3 convolutions with BatchNorm.
        conv_channels: their width.
        num_fcs: linear layers.
        fc_channels: their width.
        num_samples: boxes an image trained on; None is all.
        positive_fraction: largest share of objects among them.
        score_threshold: a detection's score is above this.
        nms_iou: overlap at which a detection is suppressed by a better one of its class.
        max_detections: at most so many an image.
    """

    roi_size: int = 7
    num_convs: int = 0
    conv_channels: int = 256
    num_fcs: int = 2
    fc_channels: int = 1024
    num_samples: int | None = 512
    positive_fraction: float = 0.25
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_detections: int = 100


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Mask head; defaults are the released models'.

    Attributes:
        roi_size: bins per side of the pooled features; masks have twice as many.
        num_convs: 3 x 3 convolutions.
        channels: their width.
    """

    roi_size: int = 14
    num_convs: int = 4
    channels: int = 256


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """What every two-stage detector is made of.

    Attributes:
        backbone: the Swin Transformer.
        num_classes: classes K without background.
        fpn_channels: channels of every level of the pyramid.
        rpn: region proposal network.
        box: box head.
        mask: mask head.
        size_divisor: images are padded to a multiple of this, px.
    """

    backbone: SwinConfig
    num_classes: int = 80
    fpn_channels: int = 256
    rpn: RPNConfig = field(default_factory=RPNConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    size_divisor: int = 32

    def __post_init__(self) -> None:
        counts = {
            "num_classes": self.num_classes,
            "fpn_channels": self.fpn_channels,
            "size_divisor": self.size_divisor,
            "box.roi_size": self.box.roi_size,
            "box.num_fcs": self.box.num_fcs,
            "mask.roi_size": self.mask.roi_size,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if not self.rpn.anchor_ratios or min(self.rpn.anchor_ratios) <= 0:
            raise ValueError(f"anchor_ratios must be positive, got {self.rpn.anchor_ratios}")
        if self.rpn.negative_iou > self.rpn.positive_iou:
            raise ValueError(
                "rpn.negative_iou must not be above rpn.positive_iou, "
                f"got {self.rpn.negative_iou} and {self.rpn.positive_iou}"
            )


class Detector(nn.Module):
    """Backbone, pyramid, proposals; then the RoI heads that a subclass adds as `roi_head`.

    Args:
        config: what the detector is made of.
        backbone: stands in for the Swin Transformer of the config: any module with `channels`,
            `strides` and such a forward.
        class_names: one for each class, or None.
        category_ids: the id of each class in the data set's annotations, or None.

    Raises:
        ValueError: there is another number of names or ids than of classes.
    """

    task: ClassVar[str] = "detection"
    roi_head: nn.Module

    def __init__(
        self,
        config: DetectorConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        for name, values in (("class_names", class_names), ("category_ids", category_ids)):
            if values is not None and len(values) != config.num_classes:
                raise ValueError(
                    f"{name} must have one entry for each of {config.num_classes} classes, "
                    f"got {len(values)}"
                )
        self.config = config
        self.class_names = None if class_names is None else tuple(class_names)
        self.category_ids = None if category_ids is None else tuple(category_ids)
        self.backbone = SwinTransformer(config.backbone) if backbone is None else backbone
        self.neck = FPN(self.backbone.channels, channels=config.fpn_channels)
        self.rpn_head = RPNHead(
            config.fpn_channels,
            strides=(*self.backbone.strides, 2 * self.backbone.strides[-1]),
            anchor_scale=config.rpn.anchor_scale,
            anchor_ratios=config.rpn.anchor_ratios,
        )

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
        outputs = self.rpn_head(pyramid)
        losses = rpn_losses(
            outputs,
            batch.sizes,
            [target["boxes"] for target in targets],
            size_divisor=self.config.size_divisor,
            allowed_border=rpn.allowed_border,
            positive_iou=rpn.positive_iou,
            negative_iou=rpn.negative_iou,
            min_positive_iou=rpn.min_positive_iou,
            num_samples=rpn.num_samples,
            positive_fraction=rpn.positive_fraction,
            smooth_l1_beta=rpn.smooth_l1_beta,
        )
        proposals = propose(
            outputs,
            batch.sizes,
            nms_pre=rpn.train_nms_pre,
            max_proposals=rpn.train_max_proposals,
            nms_iou=rpn.nms_iou,
        )
        boxes = [boxes for boxes, _ in proposals]
        return losses | self.roi_head(pyramid, boxes, targets, batch)

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[DetectionResult]:
        """Find objects.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: (height, width) of each image before it was resized; results are then in
                that frame. None: results are in the frame of the images given.

        Returns:
            One result per image, on the model's device; empty tensors where nothing is found.

        Raises:
            ValueError: there is another number of sizes than of images.
        """
        batch = self._batch(images)
        if original_sizes is not None and len(original_sizes) != len(batch):
            raise ValueError(
                f"original_sizes must be one an image, got {len(original_sizes)} "
                f"for {len(batch)} images"
            )
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
        return self.roi_head.predict(pyramid, boxes, batch.sizes, original_sizes or batch.sizes)

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, normalised and padded."""
        device = next(self.parameters()).device
        if isinstance(images, ImageBatch):
            return images.to(device)
        return batch_images(images, device, size_divisor=self.config.size_divisor)


def check_targets(
    targets: Sequence[DetectionTarget], sizes: Sequence[tuple[int, int]], *, num_classes: int
) -> None:
    """Refuse targets that do not fit their images, without waiting for a device.

    Args:
        targets: one per image.
        sizes: true (height, width) of each image.
        num_classes: K; labels are looked at if they are on the CPU.

    Raises:
        ValueError: what does not fit, and of which image.
    """
    if len(targets) != len(sizes):
        raise ValueError(f"targets must be one an image, got {len(targets)} for {len(sizes)}")
    for i, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        missing = [name for name in ("boxes", "labels", "masks") if name not in target]
        if missing:
            raise ValueError(f"target of image {i} must have {', '.join(missing)}")
        labels = target["labels"]
        shapes = {
            "boxes": (len(labels), 4),
            "labels": (len(labels),),
            "masks": (len(labels), *size),
        }
        for name, shape in shapes.items():
            if tuple(target[name].shape) != shape:
                raise ValueError(
                    f"{name} of image {i} must be {shape} for {len(labels)} labels and a "
                    f"{size[0]} x {size[1]} image, got {tuple(target[name].shape)}"
                )
        if labels.device.type == "cpu" and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"labels of image {i} must be in 0..{num_classes - 1}, got {low}..{high}"
                )


def move_target(target: DetectionTarget, device: torch.device) -> DetectionTarget:
    """The same objects on a device, boxes as float32."""
    return {
        "boxes": target["boxes"].to(device, torch.float32, non_blocking=True),
        "labels": target["labels"].to(device, torch.int64, non_blocking=True),
        "masks": target["masks"].to(device, non_blocking=True),
    }
