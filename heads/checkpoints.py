"""Whole models from files, published ones and our own; and our own files.

A published file has weights but no architecture that could be trusted, so the architecture is read
off the weights' names and shapes. What weights do not tell (thresholds, anchor sizes, the scale of
box deltas) is as released. Our own files are safetensors with the config, class names and category
ids as JSON in their metadata.
"""

import dataclasses
import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from swin_dense.checkpoints.architecture import build_loaded, read_backbone_config, read_shape
from swin_dense.checkpoints.classification.whole_classifiers import whole_classifier
from swin_dense.checkpoints.containers import Checkpoint, read_checkpoint
from swin_dense.checkpoints.conversion import convert_checkpoint, shorten
from swin_dense.checkpoints.key_maps import BACKBONE
from swin_dense.checkpoints.stored_configs import build_config, config_as_json
from swin_dense.configs import BackboneConfig, ShiftedWindowConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.models import MODEL_SPECS, ModelSpec, create_model, find_spec
from swin_dense.heads.whole_model import Model


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
    converted = whole_classifier(convert_checkpoint(checkpoint))
    try:
        config = read_model_config(checkpoint, converted.state, layout=converted.layout.name)
        class_names = _read_names(checkpoint, config)
        category_ids = _read_ids(checkpoint, config.num_classes)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error

    def build() -> Model:
        return create_model(config, class_names=class_names, category_ids=category_ids)

    return build_loaded(build, converted, source=checkpoint.source)


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
    if not isinstance(model, Model):
        raise ValueError(
            f"model must be one of {', '.join(MODEL_SPECS)}, got {type(model).__name__}"
        )
    config = dataclasses.replace(model.config, backbone=model.config.backbone.without_pretrained())
    stored = {
        "format": "pt",
        "model": find_spec(config).name,
        "config": json.dumps(config_as_json(config)),
    }
    for name in ("class_names", "category_ids"):
        values = getattr(model, name)
        if values is not None:
            stored[name] = json.dumps(values)
    return stored


def find_kind(state: Mapping[str, Tensor]) -> ModelSpec | None:
    """The kind of models that weights under our names are of; None if it is none in the table."""
    return next((spec for spec in MODEL_SPECS.values() if spec.fits(state)), None)


def read_model_config(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], *, layout: str = "microsoft"
) -> ModelConfig:
    """Read a whole model's config off its weights.

    What weights do not tell is as in the config that the file stores, if it is one of ours, else as
    released.

    Args:
        checkpoint: the file.
        state: its weights under our names.
        layout: name of the layout that they came in; not every publisher released the same.

    Raises:
        ValueError: there is no whole model, it has parts that are not known here, or the config
            that the file stores says something else than its weights.
    """
    stored = read_stored_config(checkpoint)
    spec = find_kind(state)
    if stored is not None and not isinstance(stored.backbone, ShiftedWindowConfig):
        if spec is None or type(stored) is not spec.config:
            raise ValueError(f"the weights are not those of a {find_spec(stored).name}")
        return _compare(stored, spec.read_config(state, stored))
    backbone = read_backbone_config(state)
    if spec is None:
        raise ValueError(_describe_headless(state, backbone))
    if stored is None:
        released = spec.config(backbone=backbone)  # type: ignore[call-arg]
        if spec.released is not None:
            released = spec.released(backbone, layout)
        read = spec.read_config(state, released)
        return read if spec.complete_config is None else spec.complete_config(read, checkpoint)
    if type(stored) is not spec.config:
        raise ValueError(
            f"the config is of a {find_spec(stored).name}, the weights are those of a {spec.name}"
        )
    read = dataclasses.replace(stored, backbone=_with_sizes(stored.backbone, backbone))
    return _compare(stored, spec.read_config(state, read))


# -------------------------------------------------------------------- architecture from weights

# Read off the weights of a Swin Transformer or a Swin-MLP, and its hidden width besides.
_IN_WEIGHTS = (
    *("embed_dim", "depths", "num_heads", "window_size", "patch_size", "in_channels"),
    *("qkv_bias", "patch_norm", "out_indices"),
)


def _with_sizes(stored: BackboneConfig, read: ShiftedWindowConfig) -> ShiftedWindowConfig:
    """The stored config of a Swin Transformer or a Swin-MLP with what the weights tell."""
    assert isinstance(stored, ShiftedWindowConfig)
    if type(stored) is not type(read):
        raise ValueError(
            f"the config is of a backbone of kind {stored.kind}, the weights are those of one of "
            f"kind {read.kind}"
        )
    sizes = {name: getattr(read, name) for name in _IN_WEIGHTS if hasattr(read, name)}
    hidden = read.mlp_ratio * read.embed_dim
    if hidden != int(stored.mlp_ratio * read.embed_dim):
        sizes["mlp_ratio"] = read.mlp_ratio
    return dataclasses.replace(stored, **sizes)


def _compare(stored: ModelConfig, read: ModelConfig) -> ModelConfig:
    """The stored config, once it is known that the weights have its sizes."""
    if read != stored:
        raise ValueError(
            f"the config and the weights contradict each other: {_differ(stored, read)}"
        )
    return stored


def _differ(stored: Any, read: Any, prefix: str = "") -> str:
    """The first value, by name, in which two configs of a class differ."""
    for field in dataclasses.fields(stored):
        ours, theirs = getattr(stored, field.name), getattr(read, field.name)
        if ours != theirs and dataclasses.is_dataclass(ours):
            return _differ(ours, theirs, f"{prefix}{field.name}.")
        if ours != theirs:
            return f"{prefix}{field.name} is {ours} in the config, {theirs} in the weights"
    return ""


def _describe_headless(state: Mapping[str, Tensor], backbone: ShiftedWindowConfig) -> str:
    """Why there is no model to build, and what to do with the backbone."""
    use = "its backbone loads with load_weights(model.backbone, FILE) or `train --init FILE`"
    depths = f"embed_dim {backbone.embed_dim}, depths {backbone.depths}"
    if "head.weight" in state:
        num_classes = read_shape(state, "head.weight", rank=2)[0]
        return f"an image classifier with {num_classes} classes ({depths}), no whole model; {use}"
    if not any(key.startswith(BACKBONE) for key in state):
        return f"a backbone ({depths}), no whole model; {use}"
    heads = [key for key in state if not key.startswith(BACKBONE)]
    return f"its heads are none of {', '.join(MODEL_SPECS)} ({shorten(heads)}); {use}"


# ---------------------------------------------------------------------------- names and configs


def _read_names(checkpoint: Checkpoint, config: ModelConfig) -> tuple[str, ...] | None:
    """The names that the file stores; none if a file that is not ours has another data set's."""
    names, num_classes = checkpoint.class_names, config.num_classes
    released_names = find_spec(config).released_names
    if released_names is not None and not _is_ours(checkpoint):
        fitting = names if names is not None and len(names) == num_classes else None
        return released_names(num_classes, fitting)
    if names is not None and len(names) == num_classes:
        return names
    if "class_names" in checkpoint.metadata and _is_ours(checkpoint):
        got = "other values" if names is None else f"{len(names)} names"
        raise ValueError(f"class_names must be a text for each of {num_classes} classes, got {got}")
    return None


def _read_ids(checkpoint: Checkpoint, num_classes: int) -> tuple[int, ...] | None:
    """The ids of the categories that a file stores, in the order of its labels."""
    if "category_ids" not in checkpoint.metadata:
        return None
    ids = checkpoint.category_ids
    if ids is None or not len(ids) == len(set(ids)) == num_classes:
        got = str(checkpoint.metadata["category_ids"])[:80]
        raise ValueError(
            f"category_ids must be a whole number of its own for each of {num_classes} classes, "
            f"got {got}"
        )
    return tuple(ids)


def _is_ours(checkpoint: Checkpoint) -> bool:
    """Tell whether a file has our own metadata: the kind of model and its config."""
    return isinstance(checkpoint.metadata.get("model"), str) and "config" in checkpoint.metadata


def read_stored_config(checkpoint: Checkpoint) -> ModelConfig | None:
    """The config that one of our files stores; None if the file is not ours.

    Raises:
        ValueError: it is no JSON table, of an unknown kind of models, or has values that cannot be.
    """
    if not _is_ours(checkpoint):
        return None
    kind, stored = str(checkpoint.metadata["model"]), checkpoint.metadata["config"]
    if not isinstance(stored, dict):
        raise ValueError(f"the config must be a JSON table, got {str(stored)[:80]!r}")
    if kind not in MODEL_SPECS:
        raise ValueError(f"unknown model {kind!r}; known are {', '.join(MODEL_SPECS)}")
    built = build_config(MODEL_SPECS[kind].config, stored, where="config")
    config = typing.cast(ModelConfig, built)
    # A file must not make anybody fetch weights, whatever its config asks for.
    return dataclasses.replace(config, backbone=config.backbone.without_pretrained())
