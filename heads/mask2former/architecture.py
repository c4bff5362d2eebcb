"""Mask2Former's architecture, read off its weights."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from swin_dense.checkpoints.architecture import count_numbers, read_shape
from swin_dense.heads.mask2former.config import NUM_LEVELS, Mask2FormerConfig
from swin_dense.heads.mask2former.decoders.deformable_attention import NUM_POINTS


def is_mask2former(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a Mask2Former."""
    return any(key.startswith("query_decoder.") for key in state)


def read_mask2former_config(
    state: Mapping[str, Tensor], released: Mask2FormerConfig
) -> Mask2FormerConfig:
    """Read the heads' sizes off the weights.

    Weights tell neither the task nor which classes are stuff, nor where norms stand.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the weights are incomplete, or of parts that are not known here.
    """
    num_classes = read_shape(state, "query_decoder.class_embed.weight", rank=2)[0] - 1
    if num_classes < 1:
        raise ValueError("query_decoder.class_embed.weight must have a row besides 'no object'")
    num_queries, query_channels = read_shape(state, "query_decoder.query_feat.weight", rank=2)
    mask_channels, channels, _, _ = read_shape(state, "pixel_decoder.mask_features.weight", rank=4)
    encoder_layers = count_numbers(state, r"pixel_decoder\.layers\.(\d+)\.")
    decoder_layers = count_numbers(state, r"query_decoder\.layers\.(\d+)\.")
    is_projected = "query_decoder.input_projs.0.weight" in state
    return dataclasses.replace(
        released,
        num_classes=num_classes,
        num_queries=num_queries,
        channels=channels,
        mask_channels=_read_width(mask_channels, channels, released.mask_channels),
        query_channels=_read_width(query_channels, channels, released.query_channels),
        enforce_input_projection=is_projected
        if query_channels == channels
        else released.enforce_input_projection,
        num_heads=_read_heads(state, released.num_heads),
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_ffn_channels=read_shape(state, "pixel_decoder.layers.0.linear1.weight", rank=2)[0]
        if encoder_layers
        else released.encoder_ffn_channels,
        decoder_ffn_channels=read_shape(state, "query_decoder.layers.0.linear1.weight", rank=2)[0]
        if decoder_layers
        else released.decoder_ffn_channels,
    )


def _read_width(read: int, channels: int, released: int | None) -> int | None:
    """A width that is None where it is that of the pixel decoder, unless `released` says it."""
    if read == (released or channels):
        return released
    return None if read == channels else read


def _read_heads(state: Mapping[str, Tensor], default: int) -> int:
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
