"""Mask2Former's architecture, read off its weights."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from swin_dense.checkpoints.architecture import count_numbers, read_shape
from swin_dense.heads.mask2former.config import (
    NUM_LEVELS,
    Mask2FormerConfig,
    MaskTask,
    released_stuff_classes,
)
from swin_dense.heads.mask2former.decoders.deformable_attention import NUM_POINTS

# Tasks of the released models by their number of classes; 150 and 19 are of two tasks, of which
# the number of queries tells (200 for panoptic segmentation).
_RELEASED_TASKS: dict[int, MaskTask] = {
    133: "panoptic",
    150: "semantic",
    65: "semantic",
    19: "semantic",
}
_PANOPTIC_QUERIES = 200


def is_mask2former(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Mask2Former."""
    return any(key.startswith("query_decoder.") for key in state)


def read_mask2former_config(
    state: Mapping[str, Tensor], released: Mask2FormerConfig
) -> Mask2FormerConfig:
    """Read the heads' sizes off the weights.

    Weights tell neither the task nor which classes are stuff. Where `released` has the defaults,
    both follow from the number of classes, as of the released models.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the weights are incomplete, or of parts that are not known here.
    """
    num_classes = read_shape(state, "query_decoder.class_embed.weight", rank=2)[0] - 1
    if num_classes < 1:
        raise ValueError("query_decoder.class_embed.weight must have a row besides 'no object'")
    num_queries, channels = read_shape(state, "query_decoder.query_feat.weight", rank=2)
    encoder_layers = count_numbers(state, r"pixel_decoder\.layers\.(\d+)\.")
    is_released = released == Mask2FormerConfig(backbone=released.backbone)
    read = dataclasses.replace(
        released,
        num_classes=num_classes,
        num_queries=num_queries,
        channels=channels,
        num_heads=_read_heads(state, channels, released.num_heads),
        encoder_layers=encoder_layers,
        decoder_layers=count_numbers(state, r"query_decoder\.layers\.(\d+)\."),
        encoder_ffn_channels=read_shape(state, "pixel_decoder.layers.0.linear1.weight", rank=2)[0]
        if encoder_layers
        else released.encoder_ffn_channels,
        decoder_ffn_channels=read_shape(state, "query_decoder.layers.0.linear1.weight", rank=2)[0],
    )
    return _guess_task(read) if is_released else read


def _guess_task(config: Mask2FormerConfig) -> Mask2FormerConfig:
    """The config of a file that does not tell its task, as of the released model of its sizes."""
    task = _RELEASED_TASKS.get(config.num_classes, "instance")
    if task == "semantic" and config.num_queries == _PANOPTIC_QUERIES:
        task = "panoptic"
    return dataclasses.replace(
        config, task=task, stuff_classes=released_stuff_classes(config.num_classes)
    )


def _read_heads(state: Mapping[str, Tensor], channels: int, default: int) -> int:
    """Attention heads: the pixel decoder has a row of weights for each, level and point."""
    key = "pixel_decoder.layers.0.self_attn.attention_weights.weight"
    if key not in state:
        return default
    rows = read_shape(state, key, rank=2)[0]
    heads, rest = divmod(rows, NUM_LEVELS * NUM_POINTS)
    if rest or not heads:
        raise ValueError(
            f"{key} must have a row for each head, of {NUM_LEVELS} levels and {NUM_POINTS} points, "
            f"got {rows}"
        )
    return heads
