"""Config of Mask2Former, with the released models' defaults."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import Ranges

MaskTask = Literal["instance", "semantic", "panoptic"]
MASK_TASKS: tuple[MaskTask, ...] = ("instance", "semantic", "panoptic")

PanopticMerging = Literal["pixels", "masks"]
PANOPTIC_MERGINGS: tuple[PanopticMerging, ...] = ("pixels", "masks")

NUM_LEVELS = 3
"""Levels of the pyramid that either decoder looks at; the finest serves the masks alone."""

# Labels from the first of these on are stuff, in COCO's panoptic classes: 80 things, 53 kinds of
# stuff.
_COCO_PANOPTIC = 133
_COCO_THINGS = 80
# Of ADE20K's 150 classes, counted from 0; the others are things (Mask2Former's
# `register_ade20k_panoptic.py`).
_ADE20K_PANOPTIC = 150
_ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59),
    *(60, 61, 63, 68, 77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128),
    *(131, 140, 141, 145),
)
# Of Cityscapes' 19 classes: person to bicycle are things.
_CITYSCAPES_PANOPTIC = 19
_CITYSCAPES_THINGS = 11


@dataclass(frozen=True, kw_only=True)
class Mask2FormerConfig(ModelConfig):
    """Everything that fixes a Mask2Former; defaults are the released COCO instance models'.

    Attributes:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`).
        num_classes: classes K, without "no object".
        task: instance, semantic or panoptic: what it is trained for and what `predict` gives.
        stuff_classes: labels that are stuff in panoptic segmentation; the others are things.
        num_queries: queries Q, each of which finds one object or nothing.
        channels: width of the pixel decoder; a multiple of 32.
        mask_channels: of the features of masks; None: as `channels`.
        query_channels: width of the query decoder; None: as `channels`.
        enforce_input_projection: project the maps that queries look at even where they have the
            width of the queries.
        pre_norm: normalise before each part of the query decoder's layers instead of after it.
        num_heads: attention heads of both decoders.
        encoder_layers: layers of deformable attention in the pixel decoder.
        encoder_ffn_channels: hidden width of their feed-forward networks.
        decoder_layers: layers of the query decoder.
        decoder_ffn_channels: hidden width of their feed-forward networks.
        class_weight: of the class loss, and of the class in matching.
        mask_weight: of the masks' cross-entropy, likewise.
        dice_weight: of the masks' dice loss, likewise.
        no_object_weight: of queries without an object in the class loss.
        num_points: points P at which masks are compared in training.
        oversample_ratio: points drawn for each that is kept for its uncertainty.
        importance_ratio: share of P that is chosen for its uncertainty, 0..1.
        object_score: score above which a query is a segment of panoptic results, 0..1.
        visible_share: share of a query's mask that must be visible there, 0..1.
        panoptic_merging: how masks that overlap become segments: "pixels", as released, asks at
            each pixel for the best query; "masks" lays whole masks down, the most certain first,
            for models of a short training. See `panoptic_result`.
        max_detections: largest number of instances an image.
        size_divisor: images are padded to a multiple of this, px.
    """

    ranges: ClassVar[Ranges] = {
        "stuff_classes": (0, 20_000),
        "num_queries": (1, 10_000),
        "channels": (32, 2**14),
        "mask_channels": (1, 2**14),
        "query_channels": (4, 2**14),
        "num_heads": (1, 2**10),
        "encoder_layers": (0, 1000),
        "encoder_ffn_channels": (1, 2**16),
        "decoder_layers": (0, 1000),
        "decoder_ffn_channels": (1, 2**16),
        "class_weight": (0, 10**6),
        "mask_weight": (0, 10**6),
        "dice_weight": (0, 10**6),
        "no_object_weight": (0, 10**6),
        "num_points": (1, 10**7),
        "oversample_ratio": (1, 100),
        "importance_ratio": (0, 1),
        "object_score": (0, 1),
        "visible_share": (0, 1),
        "max_detections": (1, 100_000),
        "size_divisor": (1, 1024),
    }

    num_classes: int = 80
    task: MaskTask = "instance"
    stuff_classes: tuple[int, ...] = ()
    num_queries: int = 100
    channels: int = 256
    mask_channels: int | None = None
    query_channels: int | None = None
    enforce_input_projection: bool = False
    pre_norm: bool = False
    num_heads: int = 8
    encoder_layers: int = 6
    encoder_ffn_channels: int = 1024
    decoder_layers: int = 9
    decoder_ffn_channels: int = 2048
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    num_points: int = 12_544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75
    object_score: float = 0.8
    visible_share: float = 0.8
    panoptic_merging: PanopticMerging = "pixels"
    max_detections: int = 100
    size_divisor: int = 32

    def __post_init__(self) -> None:
        if self.task not in MASK_TASKS:
            raise ValueError(f"task must be one of {', '.join(MASK_TASKS)}, got {self.task!r}")
        if self.panoptic_merging not in PANOPTIC_MERGINGS:
            raise ValueError(
                f"panoptic_merging must be one of {', '.join(PANOPTIC_MERGINGS)}, "
                f"got {self.panoptic_merging!r}"
            )
        for name in ("num_classes", "num_queries", "num_points", "num_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.channels < 32 or self.channels % 32:
            raise ValueError(f"channels must be a multiple of 32, got {self.channels}")
        for name in ("channels", "query_channels"):
            width = getattr(self, name)
            if width is not None and (width < 1 or width % self.num_heads):
                raise ValueError(
                    f"{name} must be divisible by num_heads, got {width} and {self.num_heads}"
                )
        if self.query_channels is not None and self.query_channels % 4:
            raise ValueError(f"query_channels must be a multiple of 4, got {self.query_channels}")
        if not 0 <= self.importance_ratio <= 1:
            raise ValueError(f"importance_ratio must be in 0..1, got {self.importance_ratio}")
        if self.oversample_ratio < 1:
            raise ValueError(f"oversample_ratio must be at least 1, got {self.oversample_ratio}")


def released_stuff_classes(num_classes: int) -> tuple[int, ...]:
    """Labels that are stuff in the released panoptic models of so many classes; () if none is."""
    if num_classes == _COCO_PANOPTIC:
        return tuple(range(_COCO_THINGS, _COCO_PANOPTIC))
    if num_classes == _ADE20K_PANOPTIC:
        return _ADE20K_STUFF
    if num_classes == _CITYSCAPES_PANOPTIC:
        return tuple(range(_CITYSCAPES_THINGS))
    return ()
