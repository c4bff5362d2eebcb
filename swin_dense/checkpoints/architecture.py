"""The architecture of a Swin Transformer or a Swin-MLP, read off its weights."""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.classification.whole_classifiers import bare_classifier
from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import ConvertedState, convert_checkpoint, table_window
from swin_dense.checkpoints.key_maps import BACKBONE, SPATIAL_MLP
from swin_dense.checkpoints.loading import fit_weights, load_converted
from swin_dense.configs import ShiftedWindowConfig, SwinConfig, SwinMLPConfig

_Module = TypeVar("_Module", bound=nn.Module)


def backbone_from_checkpoint(source: str | os.PathLike[str]) -> SwinTransformer:
    """Build the backbone that a file holds, alone or within a whole model, and load it.

    Args:
        source: any published file, see `load_weights`.

    Returns:
        The backbone in eval mode; a `SwinMLP` where the file has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read safely, or holds no Swin Transformer or Swin-MLP.
    """
    checkpoint = read_checkpoint(source)
    converted = bare_classifier(convert_checkpoint(checkpoint))
    try:
        config = read_backbone_config(converted.state)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error
    return build_loaded(lambda: _build(config), converted, source=checkpoint.source)


def _build(config: ShiftedWindowConfig) -> SwinTransformer:
    return cast(SwinTransformer, config.build())


def build_loaded(
    build: Callable[[], _Module], converted: ConvertedState, *, source: str
) -> _Module:
    """Build a module and load it, once it is known that the weights fit.

    Args:
        build: makes the module.
        converted: its weights.
        source: the file, for messages.

    Returns:
        The module in eval mode.

    Raises:
        ValueError: see `check_fit`.
    """
    check_fit(build, converted, source=source)
    module = build()
    load_converted(module, converted, source=source)
    return module.eval()


def check_fit(build: Callable[[], nn.Module], converted: ConvertedState, *, source: str) -> None:
    """Try whether weights fit, without memory for them: sizes in a file can be anything.

    Raises:
        ValueError: the module cannot be built, or the weights do not fit it.
    """
    try:
        with torch.device("meta"):
            module = build()
    except (ValueError, OverflowError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{source}: no model of its sizes can be built: {reason}") from error
    fit_weights(module, converted, source=source)


def read_backbone_config(state: Mapping[str, Tensor]) -> ShiftedWindowConfig:
    """Read a backbone's config off its weights.

    Weights do not tell the activation, drop path and what is frozen; these have their defaults.

    Args:
        state: under our names; within a whole model's, the backbone is found under `backbone.`.

    Raises:
        ValueError: the weights contradict each other, or are not those of a Swin Transformer or a
            Swin-MLP.
    """
    if any(key.startswith(BACKBONE) for key in state):
        state = {
            key.removeprefix(BACKBONE): value
            for key, value in state.items()
            if key.startswith(BACKBONE)
        }
    stem = read_shape(state, "patch_embed.proj.weight", rank=4)
    if stem[2] != stem[3]:
        raise ValueError(f"patches must be square, got {stem[2]} x {stem[3]}")
    depths = _read_depths(state)
    hidden = read_shape(state, "layers.0.blocks.0.mlp.fc1.weight", rank=2)
    norms = sorted(
        int(found[1]) for key in state if (found := re.fullmatch(r"norm(\d+)\.weight", key))
    )
    sizes: dict[str, Any] = {
        "embed_dim": stem[0],
        "depths": depths,
        "patch_size": stem[2],
        "in_channels": stem[1],
        "mlp_ratio": hidden[0] / hidden[1],
        "patch_norm": "patch_embed.norm.weight" in state,
        "out_indices": tuple(norms) or tuple(range(len(depths))),
    }
    if any(SPATIAL_MLP in key for key in state):
        window, num_heads = _read_linear_maps(state, depths)
        return SwinMLPConfig(window_size=window, num_heads=num_heads, **sizes)
    tables = [
        read_shape(state, f"layers.{i}.blocks.0.attn.relative_position_bias_table", rank=2)
        for i in range(len(depths))
    ]
    return SwinConfig(
        num_heads=tuple(heads for _, heads in tables),
        window_size=_read_window(state),
        qkv_bias="layers.0.blocks.0.attn.qkv.bias" in state,
        **sizes,
    )


def _read_depths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per stage; every stage and block up to the last must be there."""
    blocks: dict[int, set[int]] = {}
    for key in state:
        found = re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", key)
        if found:
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    for stage in range(max(blocks, default=0) + 1):
        present = blocks.get(stage, set())
        absent = sorted(set(range(max(present, default=0) + 1)) - present)
        if absent:
            raise ValueError(f"block {absent[0]} of stage {stage} is missing from the weights")
    return tuple(len(blocks[stage]) for stage in sorted(blocks))


def _read_window(state: Mapping[str, Tensor]) -> int:
    """The window that all position tables are made for."""
    windows = {
        key: table_window(value)
        for key, value in state.items()
        if key.endswith(".relative_position_bias_table")
    }
    distinct = set(windows.values())
    if len(distinct) == 1 and None not in distinct:
        return distinct.pop() or 0
    examples = {window: key for key, window in windows.items()}
    raise ValueError(
        "position tables must all be (2 * window_size - 1)**2 rows of one window, got "
        + ", ".join(f"{state[key].shape[0]} rows in {key}" for key in examples.values())
    )


def _read_linear_maps(
    state: Mapping[str, Tensor], depths: tuple[int, ...]
) -> tuple[int, tuple[int, ...]]:
    """The one window that a Swin-MLP's linear maps are made for, and the heads of each stage."""
    windows, num_heads = {}, []
    for stage in range(len(depths)):
        key = f"layers.{stage}.blocks.0{SPATIAL_MLP}weight"
        rows, length, _ = read_shape(state, key, rank=3)
        windows[length] = key
        num_heads.append(max(1, rows // length))
    window = math.isqrt(next(iter(windows)))
    if len(windows) > 1 or window**2 not in windows:
        found = ", ".join(f"{length} in {key}" for length, key in windows.items())
        raise ValueError(
            f"spatial_mlp must have window_size**2 tokens of one window in each stage, got {found}"
        )
    return window, tuple(num_heads)


def read_shape(state: Mapping[str, Tensor], key: str, *, rank: int) -> tuple[int, ...]:
    """Shape of one of the weights.

    Raises:
        ValueError: it is missing, has another number of dimensions, or is empty.
    """
    if key not in state:
        raise ValueError(f"{key} is missing from the weights")
    shape = tuple(state[key].shape)
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"{key} must have {rank} dimensions, got shape {shape}")
    return shape


def count_numbers(state: Mapping[str, Tensor], pattern: str) -> int:
    """Number of values that the pattern's one group takes at the start of the keys."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})
