"""Whole models from files, published ones and our own; and our own files.

A published file has weights but no architecture that could be trusted, so the architecture is read
off the weights' names and shapes. What weights do not tell (thresholds, anchor sizes, the scale of
box deltas) is as released. Our own files are safetensors with the config, class names and category
ids as JSON in their metadata.
"""

import dataclasses
import json
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from swin_dense.backbone import SwinConfig
from swin_dense.checkpoints.architecture import build_loaded, read_backbone_config, read_shape
from swin_dense.checkpoints.containers import Checkpoint, read_checkpoint
from swin_dense.checkpoints.conversion import convert_state_dict, shorten
from swin_dense.checkpoints.key_maps import BACKBONE
from swin_dense.heads.detection.cascade import CascadeMaskRCNNConfig
from swin_dense.heads.detection.config import BoxConfig
from swin_dense.heads.detection.mask_rcnn import MaskRCNNConfig
from swin_dense.heads.models import Model, ModelConfig, create_model
from swin_dense.heads.segmentation.upernet import UPerNetConfig
from swin_dense.heads.stored_configs import build_config, has_type

# What `model` in our files' metadata may be.
MODEL_KINDS: dict[str, type[ModelConfig]] = {
    "mask_rcnn": MaskRCNNConfig,
    "cascade_mask_rcnn": CascadeMaskRCNNConfig,
    "upernet": UPerNetConfig,
}


def from_checkpoint(source: str | os.PathLike[str]) -> Model:
    """Build the model that a file holds, and load it.

    Args:
        source: a published file in any known layout, or one of ours, or a folder with one.

    Returns:
        The model in eval mode, with the class names and category ids that the file stores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read safely, holds no whole model, or one with parts that are
            not known here.
    """
    checkpoint = read_checkpoint(source)
    try:
        translation = convert_state_dict(checkpoint.state)
        config = read_model_config(checkpoint, translation.state)
        category_ids = _read_ids(checkpoint)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error
    class_names = _read_names(checkpoint, config.num_classes)

    def build() -> Model:
        return create_model(config, class_names=class_names, category_ids=category_ids)

    return build_loaded(build, translation, source=checkpoint.source)


def save_model(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a whole model as safetensors that `from_checkpoint` reads back.

    The file is written beside its final name and renamed.

    Args:
        model: a detector or a segmentor.
        path: where to; by convention `*.safetensors`.
        metadata: more text to store, such as the step of training.
        state: weights to write instead of the model's own, under the same names; None: its own.

    Raises:
        ValueError: the model is none of ours, or `metadata` has a name that is taken.
    """
    stored = describe_model(model)
    for key, value in (metadata or {}).items():
        if key in stored:
            raise ValueError(f"metadata must not have {key!r}, which the model itself fills")
        stored[key] = value
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    weights = model.state_dict() if state is None else state
    tensors = {key: value.detach().contiguous() for key, value in weights.items()}
    try:
        save_file(tensors, partial, metadata=stored)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def describe_model(model: nn.Module) -> dict[str, str]:
    """The metadata of our files: kind of model, config, class names and category ids, as text."""
    config: Any = getattr(model, "config", None)
    if type(config) not in MODEL_KINDS.values():
        raise ValueError(
            f"model must be one of {', '.join(MODEL_KINDS)}, got {type(model).__name__}"
        )
    kind, values = find_model_kind(config), dataclasses.asdict(config)
    stored = {"format": "pt", "model": kind, "config": json.dumps(values)}
    for name in ("class_names", "category_ids"):
        values = getattr(model, name)
        if values is not None:
            stored[name] = json.dumps(values)
    return stored


def find_model_kind(config: ModelConfig) -> str:
    """The name in `MODEL_KINDS` of a whole model's config."""
    return _find_kind(type(config))


def _find_kind(config_class: type[ModelConfig]) -> str:
    return next(kind for kind, cls in MODEL_KINDS.items() if cls is config_class)


def read_model_config(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> ModelConfig:
    """Read a whole model's config off its weights.

    What weights do not tell is as in the config that the file stores, if it is one of ours, else as
    released.

    Args:
        checkpoint: the file.
        state: its weights under our names.

    Raises:
        ValueError: there is no whole model, it has parts that are not known here, or the config
            that the file stores says something else than its weights.
    """
    backbone, stored = read_backbone_config(state), _read_stored_config(checkpoint)
    cls = _find_config_class(state)
    if cls is None:
        raise ValueError(_describe_headless(state, backbone))
    if stored is None:
        return _read_heads(state, cls(backbone=backbone))
    if type(stored) is not cls:
        raise ValueError(
            f"the config is of a {find_model_kind(stored)}, "
            f"the weights are those of a {_find_kind(cls)}"
        )
    told = {name: getattr(backbone, name) for name in _TOLD}
    hidden = backbone.mlp_ratio * backbone.embed_dim
    if hidden != int(stored.backbone.mlp_ratio * backbone.embed_dim):
        told["mlp_ratio"] = backbone.mlp_ratio
    read = dataclasses.replace(stored, backbone=dataclasses.replace(stored.backbone, **told))
    read = _read_heads(state, read)
    if read != stored:
        raise ValueError(
            f"the config and the weights contradict each other: {_differ(stored, read)}"
        )
    return stored


# -------------------------------------------------------------------- architecture from weights

# What weights tell of a backbone, and its hidden width besides.
_TOLD = (
    *("embed_dim", "depths", "num_heads", "window_size", "patch_size", "in_channels"),
    *("qkv_bias", "patch_norm", "out_indices"),
)


def _find_config_class(state: Mapping[str, Tensor]) -> type[ModelConfig] | None:
    """Which kind of model has these weights; None if it is none of ours."""
    parts = {key.split(".")[0] for key in state}
    if "decode_head" in parts:
        return UPerNetConfig
    if {"neck", "rpn_head", "roi_head"} <= parts:
        is_cascade = any(key.startswith("roi_head.bbox_head.0.") for key in state)
        return CascadeMaskRCNNConfig if is_cascade else MaskRCNNConfig
    return None


def _read_heads(state: Mapping[str, Tensor], config: ModelConfig) -> ModelConfig:
    """The config with what the weights tell of the heads."""
    if isinstance(config, UPerNetConfig):
        return _read_segmentor_config(state, config)
    return _read_detector_config(state, config)


def _differ(stored: Any, read: Any, prefix: str = "") -> str:
    """The first value, by name, in which two configs of a class differ."""
    for field in dataclasses.fields(stored):
        ours, theirs = getattr(stored, field.name), getattr(read, field.name)
        if ours != theirs and dataclasses.is_dataclass(ours):
            return _differ(ours, theirs, f"{prefix}{field.name}.")
        if ours != theirs:
            return f"{prefix}{field.name} is {ours} in the config, {theirs} in the weights"
    return ""


def _read_segmentor_config(state: Mapping[str, Tensor], released: UPerNetConfig) -> UPerNetConfig:
    num_classes, channels, _, _ = read_shape(state, "decode_head.conv_seg.weight", rank=4)
    num_scales = _count(state, r"decode_head\.psp_modules\.(\d+)\.")
    scales = released.pool_scales
    if num_scales != len(scales):
        raise ValueError(
            f"pyramid pooling must have {len(scales)} grids {scales}, got {num_scales}; "
            "the weights do not tell their sizes"
        )
    has_auxiliary = any(key.startswith("auxiliary_head.") for key in state)
    auxiliary_key = "auxiliary_head.convs.0.conv.weight"
    return dataclasses.replace(
        released,
        num_classes=num_classes,
        decoder_channels=channels,
        auxiliary_channels=read_shape(state, auxiliary_key, rank=4)[0] if has_auxiliary else None,
    )


def _read_detector_config(
    state: Mapping[str, Tensor], released: MaskRCNNConfig | CascadeMaskRCNNConfig
) -> MaskRCNNConfig | CascadeMaskRCNNConfig:
    stage = "0." if isinstance(released, CascadeMaskRCNNConfig) else ""
    box, mask = f"roi_head.bbox_head.{stage}", f"roi_head.mask_head.{stage}"
    num_classes = read_shape(state, f"{box}fc_cls.weight", rank=2)[0] - 1
    _check_detector(state, released, box=box, num_classes=num_classes)
    fpn_channels = read_shape(state, "neck.lateral_convs.0.conv.weight", rank=4)[0]
    return dataclasses.replace(
        released,
        num_classes=num_classes,
        fpn_channels=fpn_channels,
        box=_read_box_config(state, released.box, prefix=box, in_channels=fpn_channels),
        mask=dataclasses.replace(
            released.mask,
            num_convs=_count(state, re.escape(mask) + r"convs\.(\d+)\."),
            channels=read_shape(state, f"{mask}convs.0.conv.weight", rank=4)[0],
        ),
    )


def _check_detector(
    state: Mapping[str, Tensor],
    released: MaskRCNNConfig | CascadeMaskRCNNConfig,
    *,
    box: str,
    num_classes: int,
) -> None:
    """What differs from the released models in a way that weights tell but no config allows."""
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
    if isinstance(released, CascadeMaskRCNNConfig):
        num_stages = _count(state, r"roi_head\.bbox_head\.(\d+)\.")
        if num_stages != len(released.stage_ious):
            raise ValueError(
                f"the cascade must have {len(released.stage_ious)} stages, got {num_stages}; "
                "the weights do not tell their overlaps"
            )


def _read_box_config(
    state: Mapping[str, Tensor], released: BoxConfig, *, prefix: str, in_channels: int
) -> BoxConfig:
    fc_channels, num_inputs = read_shape(state, f"{prefix}shared_fcs.0.weight", rank=2)
    num_convs = _count(state, re.escape(prefix) + r"shared_convs\.(\d+)\.")
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
        num_fcs=_count(state, re.escape(prefix) + r"shared_fcs\.(\d+)\."),
        fc_channels=fc_channels,
    )


def _describe_headless(state: Mapping[str, Tensor], backbone: SwinConfig) -> str:
    """Why there is no model to build, and what to do with the backbone."""
    use = "its backbone loads with load_weights(model.backbone, FILE) or `train --init FILE`"
    depths = f"embed_dim {backbone.embed_dim}, depths {backbone.depths}"
    if "head.weight" in state:
        num_classes = read_shape(state, "head.weight", rank=2)[0]
        return f"an image classifier with {num_classes} classes ({depths}), no whole model; {use}"
    if not any(key.startswith(BACKBONE) for key in state):
        return f"a backbone ({depths}), no whole model; {use}"
    heads = [key for key in state if not key.startswith(BACKBONE)]
    return f"its heads are none of {', '.join(MODEL_KINDS)} ({shorten(heads)}); {use}"


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers the pattern's group takes."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


# ---------------------------------------------------------------------------- names and configs


def _read_names(checkpoint: Checkpoint, num_classes: int) -> tuple[str, ...] | None:
    """The names that the file stores; none if it stores those of another data set."""
    names = checkpoint.class_names
    return names if names is not None and len(names) == num_classes else None


def _read_ids(checkpoint: Checkpoint) -> tuple[int, ...] | None:
    ids = checkpoint.metadata.get("category_ids")
    if not isinstance(ids, list):
        return None
    if not all(has_type(value, int) for value in ids):
        raise ValueError(f"category_ids must be whole numbers, got {str(ids)[:80]}")
    return tuple(ids)


def _read_stored_config(checkpoint: Checkpoint) -> ModelConfig | None:
    """The config that one of our files stores; None if the file is not ours."""
    kind, stored = checkpoint.metadata.get("model"), checkpoint.metadata.get("config")
    if not isinstance(kind, str) or not isinstance(stored, dict):
        return None
    if kind not in MODEL_KINDS:
        raise ValueError(f"unknown model {kind!r}; known are {', '.join(MODEL_KINDS)}")
    config = build_config(MODEL_KINDS[kind], stored, where="config")
    return typing.cast(ModelConfig, config)
