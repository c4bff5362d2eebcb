"""The architecture of two-stage detectors, read off their weights."""

import dataclasses
import re
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from swin_dense.checkpoints.architecture import count_numbers, read_shape
from swin_dense.heads.detection.config import (
    BoxConfig,
    CascadeRCNNConfig,
    MaskConfig,
    TwoStageDetectorConfig,
    mask_config,
)
from swin_dense.heads.detection.two_stage import MASK_HEAD

_Config = TypeVar("_Config", bound=TwoStageDetectorConfig)


def is_mask_rcnn(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Mask R-CNN."""
    return _is_two_stage(state) and not _is_cascade(state) and _has_mask_head(state)


def is_faster_rcnn(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Faster R-CNN: no mask head."""
    return _is_two_stage(state) and not _is_cascade(state) and not _has_mask_head(state)


def is_cascade_mask_rcnn(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Cascade Mask R-CNN."""
    return _is_two_stage(state) and _is_cascade(state) and _has_mask_head(state)


def is_cascade_rcnn(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Cascade R-CNN: no mask heads."""
    return _is_two_stage(state) and _is_cascade(state) and not _has_mask_head(state)


def read_detector_config(state: Mapping[str, Tensor], released: _Config) -> _Config:
    """Read the heads' sizes off the weights.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the weights are incomplete, or of parts that are not known here.
    """
    stage = "0." if isinstance(released, CascadeRCNNConfig) else ""
    box, mask = f"roi_head.bbox_head.{stage}", mask_config(released)
    num_classes = read_shape(state, f"{box}fc_cls.weight", rank=2)[0] - 1
    _check_detector(state, released, box=box, num_classes=num_classes)
    fpn_channels = read_shape(state, "neck.lateral_convs.0.conv.weight", rank=4)[0]
    config = dataclasses.replace(
        released,
        num_classes=num_classes,
        fpn_channels=fpn_channels,
        box=_read_box_config(state, released.box, prefix=box, in_channels=fpn_channels),
    )
    if mask is None:
        return config
    read = _read_mask_config(state, mask, prefix=f"{MASK_HEAD}{stage}")
    return dataclasses.replace(config, mask=read)  # type: ignore[call-arg]


def _check_detector(
    state: Mapping[str, Tensor],
    released: TwoStageDetectorConfig,
    *,
    box: str,
    num_classes: int,
) -> None:
    """Refuse parts that differ from the released models in a way that no config allows."""
    num_anchors = read_shape(state, "rpn_head.rpn_cls.weight", rank=4)[0]
    if num_anchors != len(released.rpn.anchor_ratios):
        raise ValueError(
            f"a cell must have {len(released.rpn.anchor_ratios)} anchors, got {num_anchors}; "
            "the weights do not tell their sizes"
        )
    num_deltas = read_shape(state, f"{box}fc_reg.weight", rank=2)[0]
    if num_deltas != 4 * num_classes:
        raise ValueError(
            f"boxes must be refined per class ({4 * num_classes} values for {num_classes} "
            f"classes), got {num_deltas}"
        )
    if isinstance(released, CascadeRCNNConfig):
        num_stages = count_numbers(state, r"roi_head\.bbox_head\.(\d+)\.")
        if num_stages != len(released.stage_ious):
            raise ValueError(
                f"the cascade must have {len(released.stage_ious)} stages, got {num_stages}; "
                "the weights do not tell their overlaps"
            )


def _read_box_config(
    state: Mapping[str, Tensor], released: BoxConfig, *, prefix: str, in_channels: int
) -> BoxConfig:
    fc_channels, num_inputs = read_shape(state, f"{prefix}shared_fcs.0.weight", rank=2)
    num_convs = count_numbers(state, re.escape(prefix) + r"shared_convs\.(\d+)\.")
    conv_channels, width = released.conv_channels, in_channels
    if num_convs:
        conv_channels = read_shape(state, f"{prefix}shared_convs.0.conv.weight", rank=4)[0]
        width = conv_channels
    roi_size = round((num_inputs / width) ** 0.5)
    if roi_size**2 * width != num_inputs:
        raise ValueError(
            f"{prefix}shared_fcs.0 must read square maps of {width} channels, got {num_inputs} "
            "values"
        )
    return dataclasses.replace(
        released,
        roi_size=roi_size,
        num_convs=num_convs,
        conv_channels=conv_channels,
        num_fcs=count_numbers(state, re.escape(prefix) + r"shared_fcs\.(\d+)\."),
        fc_channels=fc_channels,
    )


def _read_mask_config(
    state: Mapping[str, Tensor], released: MaskConfig, *, prefix: str
) -> MaskConfig:
    return dataclasses.replace(
        released,
        num_convs=count_numbers(state, re.escape(prefix) + r"convs\.(\d+)\."),
        channels=read_shape(state, f"{prefix}convs.0.conv.weight", rank=4)[0],
    )


def _is_two_stage(state: Mapping[str, Tensor]) -> bool:
    return {"neck", "rpn_head", "roi_head"} <= {key.split(".")[0] for key in state}


def _is_cascade(state: Mapping[str, Tensor]) -> bool:
    return any(key.startswith("roi_head.bbox_head.0.") for key in state)


def _has_mask_head(state: Mapping[str, Tensor]) -> bool:
    return any(key.startswith(MASK_HEAD) for key in state)
