"""Configs of two-stage detectors and of their parts, with the released models' defaults."""

from dataclasses import dataclass, field
from typing import ClassVar

from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class RPNConfig:
    """Region proposal network; defaults are the released Mask R-CNN models'.

    Attributes:
        anchor_scale: side of a square anchor, in strides.
        anchor_ratios: height over width of a cell's anchors.
        positive_iou: overlap with ground truth from which an anchor is positive.
        negative_iou: overlap below which it is background.
        min_positive_iou: overlap from which the best anchors of a ground-truth box are positive.
        allowed_border: px by which an anchor in training may leave the image; None is any.
        num_samples: anchors sampled an image; None is all.
        positive_fraction: largest share of positives among them.
        smooth_l1_beta: of the box loss; 0 is L1.
        nms_iou: overlap above which a proposal is suppressed by a better one of its level.
        train_nms_pre: boxes per level before suppression, in training.
        train_max_proposals: boxes per image after it, in training.
        test_nms_pre: boxes per level before suppression, in inference.
        test_max_proposals: boxes per image after it, in inference.
    """

    ranges: ClassVar[Ranges] = {
        "anchor_scale": (0, 10_000),
        "num_samples": (1, 100_000),
        "train_nms_pre": (1, 100_000),
        "test_nms_pre": (1, 100_000),
        "train_max_proposals": (0, 100_000),
        "test_max_proposals": (0, 100_000),
    }

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
        num_samples: boxes sampled an image; None is all.
        positive_fraction: largest share of positives among them.
        score_threshold: a detection's score is above this.
        nms_iou: overlap above which a detection is suppressed by a better one of its class.
        max_detections: largest number of detections an image.
    """

    ranges: ClassVar[Ranges] = {
        "roi_size": (1, 64),
        "num_convs": (0, 64),
        "conv_channels": (1, 2**16),
        "num_fcs": (0, 64),
        "fc_channels": (1, 2**20),
        "num_samples": (1, 100_000),
        "max_detections": (1, 100_000),
    }

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

    ranges: ClassVar[Ranges] = {
        "roi_size": (1, 128),
        "num_convs": (0, 64),
        "channels": (1, 2**16),
    }

    roi_size: int = 14
    num_convs: int = 4
    channels: int = 256

    def __post_init__(self) -> None:
        if self.roi_size < 1:
            raise ValueError(f"mask.roi_size must be at least 1, got {self.roi_size}")


@dataclass(frozen=True, kw_only=True)
class TwoStageDetectorConfig(ModelConfig):
    """Two-stage detector; the parts that all of them share.

    Attributes:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`).
        num_classes: classes K without background.
        fpn_channels: channels of every level of the pyramid.
        rpn: region proposal network.
        box: box head.
        size_divisor: images are padded to a multiple of this, px.
    """

    ranges: ClassVar[Ranges] = {"fpn_channels": (1, 2**16), "size_divisor": (1, 1024)}

    num_classes: int = 80
    fpn_channels: int = 256
    rpn: RPNConfig = field(default_factory=RPNConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    size_divisor: int = 32

    def __post_init__(self) -> None:
        counts = {
            "num_classes": self.num_classes,
            "fpn_channels": self.fpn_channels,
            "size_divisor": self.size_divisor,
            "box.roi_size": self.box.roi_size,
            "box.num_fcs": self.box.num_fcs,
        }
        for part, sampler in (("rpn", self.rpn), ("box", self.box)):
            if sampler.num_samples is not None:
                counts[f"{part}.num_samples"] = sampler.num_samples
            if not 0 <= sampler.positive_fraction <= 1:
                raise ValueError(
                    f"{part}.positive_fraction must be in 0..1, got {sampler.positive_fraction}"
                )
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


@dataclass(frozen=True, kw_only=True)
class FasterRCNNConfig(TwoStageDetectorConfig):
    """Faster R-CNN; defaults are the released Mask R-CNN models', which differ in nothing else.

    Attributes:
        positive_iou: overlap with ground truth from which a proposal is positive; below it is
            background.
        delta_stds: scale of the box head's deltas.
    """

    positive_iou: float = 0.5
    delta_stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)


@dataclass(frozen=True, kw_only=True)
class MaskRCNNConfig(FasterRCNNConfig):
    """Mask R-CNN; defaults are the released COCO models'.

    Attributes:
        mask: mask head.
    """

    mask: MaskConfig = field(default_factory=MaskConfig)


def _cascade_rpn_config() -> RPNConfig:
    return RPNConfig(allowed_border=0, smooth_l1_beta=1 / 9, train_max_proposals=2000)


def _cascade_box_config() -> BoxConfig:
    return BoxConfig(num_convs=4, num_fcs=1)


@dataclass(frozen=True, kw_only=True)
class CascadeRCNNConfig(TwoStageDetectorConfig):
    """Cascade R-CNN; defaults are the released Cascade Mask R-CNN models'.

    Attributes:
        stage_ious: per stage the overlap with ground truth from which a box is positive.
        stage_delta_stds: per stage the scale of the box head's deltas.
        stage_loss_weights: per stage the factor of its losses.
        giou_weight: further factor of the box loss.
    """

    rpn: RPNConfig = field(default_factory=_cascade_rpn_config)
    box: BoxConfig = field(default_factory=_cascade_box_config)
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


@dataclass(frozen=True, kw_only=True)
class CascadeMaskRCNNConfig(CascadeRCNNConfig):
    """Cascade Mask R-CNN; defaults are the released COCO models'.

    Attributes:
        mask: mask head of each stage.
    """

    mask: MaskConfig = field(default_factory=MaskConfig)


def mask_config(config: ModelConfig) -> MaskConfig | None:
    """The part of a two-stage detector's config that is its mask head; None for one without."""
    return config.mask if isinstance(config, MaskRCNNConfig | CascadeMaskRCNNConfig) else None
