"""Names of Mask2Former's heads, ours to those of Meta's repository and of transformers.

`{layer}` counts layers from 0 and `{level}` levels, coarse to fine. Three names for one of ours are
query, key and value.
"""

from collections.abc import Mapping

HeadNames = Mapping[str, str | tuple[str, ...]]


def _affine(names: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    """Weight and bias of each module."""
    return {
        f"{ours}.{leaf}": f"{theirs}.{leaf}"
        for ours, theirs in names.items()
        for leaf in ("weight", "bias")
    }


_SAMPLING = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")

_INPUT = "pixel_decoder.input_convs.{level}."
_ENCODER = "pixel_decoder.layers.{layer}."
_LAYER = "query_decoder.layers.{layer}."

_META_PIXELS = "sem_seg_head.pixel_decoder."
_META_ENCODER = _META_PIXELS + "transformer.encoder.layers.{layer}."
_META_QUERIES = "sem_seg_head.predictor."
_META_CROSS = _META_QUERIES + "transformer_cross_attention_layers.{layer}."
_META_SELF = _META_QUERIES + "transformer_self_attention_layers.{layer}."
_META_FFN = _META_QUERIES + "transformer_ffn_layers.{layer}."

META_HEADS: HeadNames = {
    "pixel_decoder.level_embed": _META_PIXELS + "transformer.level_embed",
    "pixel_decoder.lateral_conv.conv.weight": _META_PIXELS + "adapter_1.weight",
    "pixel_decoder.output_conv.conv.weight": _META_PIXELS + "layer_1.weight",
    **_affine(
        {
            _INPUT + "conv": _META_PIXELS + "input_proj.{level}.0",
            _INPUT + "norm": _META_PIXELS + "input_proj.{level}.1",
            **{f"{_ENCODER}self_attn.{n}": f"{_META_ENCODER}self_attn.{n}" for n in _SAMPLING},
            **{
                _ENCODER + name: _META_ENCODER + name
                for name in ("norm1", "linear1", "linear2", "norm2")
            },
            "pixel_decoder.lateral_conv.norm": _META_PIXELS + "adapter_1.norm",
            "pixel_decoder.output_conv.norm": _META_PIXELS + "layer_1.norm",
            "pixel_decoder.mask_features": _META_PIXELS + "mask_features",
        }
    ),
    # The published files' name; `query_feat` in Meta's newer ones.
    "query_decoder.query_feat.weight": _META_QUERIES + "static_query.weight",
    "query_decoder.query_embed.weight": _META_QUERIES + "query_embed.weight",
    "query_decoder.level_embed.weight": _META_QUERIES + "level_embed.weight",
    **{
        f"{_LAYER}{ours}.in_proj_{leaf}": f"{theirs}.in_proj_{leaf}"
        for ours, theirs in (
            ("cross_attn", _META_CROSS + "multihead_attn"),
            ("self_attn", _META_SELF + "self_attn"),
        )
        for leaf in ("weight", "bias")
    },
    **_affine(
        {
            _LAYER + "cross_attn.out_proj": _META_CROSS + "multihead_attn.out_proj",
            _LAYER + "cross_norm": _META_CROSS + "norm",
            _LAYER + "self_attn.out_proj": _META_SELF + "self_attn.out_proj",
            _LAYER + "self_norm": _META_SELF + "norm",
            _LAYER + "linear1": _META_FFN + "linear1",
            _LAYER + "linear2": _META_FFN + "linear2",
            _LAYER + "ffn_norm": _META_FFN + "norm",
            "query_decoder.decoder_norm": _META_QUERIES + "decoder_norm",
            "query_decoder.class_embed": _META_QUERIES + "class_embed",
            "query_decoder.mask_embed.{layer}": _META_QUERIES + "mask_embed.layers.{layer}",
            "query_decoder.input_projs.{level}": _META_QUERIES + "input_proj.{level}",
        }
    ),
}
META_ALIASES = (("sem_seg_head.predictor.query_feat.", "sem_seg_head.predictor.static_query."),)

HF_BACKBONE = "model.pixel_level_module.encoder."
_HF_PIXELS = "model.pixel_level_module.decoder."
_HF_ENCODER = _HF_PIXELS + "encoder.layers.{layer}."
_HF_QUERIES = "model.transformer_module."
_HF_LAYER = _HF_QUERIES + "decoder.layers.{layer}."

HF_HEADS: HeadNames = {
    "pixel_decoder.level_embed": _HF_PIXELS + "level_embed",
    "pixel_decoder.lateral_conv.conv.weight": _HF_PIXELS + "adapter_1.0.weight",
    "pixel_decoder.output_conv.conv.weight": _HF_PIXELS + "layer_1.0.weight",
    **_affine(
        {
            _INPUT + "conv": _HF_PIXELS + "input_projections.{level}.0",
            _INPUT + "norm": _HF_PIXELS + "input_projections.{level}.1",
            **{f"{_ENCODER}self_attn.{n}": f"{_HF_ENCODER}self_attn.{n}" for n in _SAMPLING},
            _ENCODER + "norm1": _HF_ENCODER + "self_attn_layer_norm",
            _ENCODER + "linear1": _HF_ENCODER + "fc1",
            _ENCODER + "linear2": _HF_ENCODER + "fc2",
            _ENCODER + "norm2": _HF_ENCODER + "final_layer_norm",
            "pixel_decoder.lateral_conv.norm": _HF_PIXELS + "adapter_1.1",
            "pixel_decoder.output_conv.norm": _HF_PIXELS + "layer_1.1",
            "pixel_decoder.mask_features": _HF_PIXELS + "mask_projection",
        }
    ),
    "query_decoder.query_feat.weight": _HF_QUERIES + "queries_features.weight",
    "query_decoder.query_embed.weight": _HF_QUERIES + "queries_embedder.weight",
    "query_decoder.level_embed.weight": _HF_QUERIES + "level_embed.weight",
    **{
        f"{_LAYER}cross_attn.in_proj_{leaf}": f"{_HF_LAYER}cross_attn.in_proj_{leaf}"
        for leaf in ("weight", "bias")
    },
    **{
        f"{_LAYER}self_attn.in_proj_{leaf}": tuple(
            f"{_HF_LAYER}self_attn.{part}_proj.{leaf}" for part in "qkv"
        )
        for leaf in ("weight", "bias")
    },
    **_affine(
        {
            _LAYER + "cross_attn.out_proj": _HF_LAYER + "cross_attn.out_proj",
            _LAYER + "cross_norm": _HF_LAYER + "cross_attn_layer_norm",
            _LAYER + "self_attn.out_proj": _HF_LAYER + "self_attn.out_proj",
            _LAYER + "self_norm": _HF_LAYER + "self_attn_layer_norm",
            _LAYER + "linear1": _HF_LAYER + "fc1",
            _LAYER + "linear2": _HF_LAYER + "fc2",
            _LAYER + "ffn_norm": _HF_LAYER + "final_layer_norm",
            "query_decoder.decoder_norm": _HF_QUERIES + "decoder.layernorm",
            "query_decoder.class_embed": "class_predictor",
            "query_decoder.mask_embed.{layer}": (
                _HF_QUERIES + "decoder.mask_predictor.mask_embedder.{layer}.0"
            ),
            "query_decoder.input_projs.{level}": _HF_QUERIES + "input_projections.{level}",
        }
    ),
}
# Backbones under names of early conversions and of the library's own memory.
HF_ALIASES = (
    (HF_BACKBONE + "model.", HF_BACKBONE),
    *(
        (
            f"{HF_BACKBONE}hidden_states_norms.{i}.",
            f"{HF_BACKBONE}hidden_states_norms.stage{i + 1}.",
        )
        for i in range(4)
    ),
)

UNUSED = ("criterion.", "pixel_mean", "pixel_std")
"""Beginnings of what their files hold besides: buffers of the loss and of the normalisation."""
