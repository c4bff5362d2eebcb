"""The protocol of backbones: the Swin Transformer keeps it, and what every config checks."""

from dataclasses import replace

import pytest
from torch import nn

import swin_dense as sd
from swin_dense.blocks import SwinBlock

TINY = sd.SwinConfig(
    embed_dim=4, depths=(1, 2), num_heads=(1, 1), window_size=2, out_indices=(0, 1)
)


def test_the_swin_transformer_keeps_the_protocol() -> None:
    backbone = TINY.build()
    assert isinstance(backbone, sd.Backbone)
    assert isinstance(TINY, sd.BackboneConfig)


def test_a_module_without_all_of_it_does_not() -> None:
    assert not isinstance(nn.Conv2d(3, 4, 1), sd.Backbone)


def test_blocks_are_those_of_all_stages_in_order() -> None:
    backbone = TINY.build()
    assert backbone.blocks() == [*backbone.layers[0].blocks, *backbone.layers[1].blocks]
    assert all(isinstance(block, SwinBlock) for block in backbone.blocks())


def test_norms_and_position_tables_are_not_decayed() -> None:
    backbone = TINY.build()
    undecayed = backbone.no_weight_decay()
    assert "layers.0.blocks.0.attn.relative_position_bias_table" in undecayed
    assert {"patch_embed.norm.weight", "norm1.bias", "layers.0.downsample.norm.bias"} < undecayed
    assert "layers.0.blocks.0.attn.qkv.bias" not in undecayed
    assert undecayed < {name for name, _ in backbone.named_parameters()}


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_drop_path_is_a_share_of_the_blocks(rate: float) -> None:
    with pytest.raises(ValueError, match=r"drop_path_rate must be in \[0, 1\), got"):
        replace(TINY, drop_path_rate=rate)


def test_a_config_that_fetches_nothing_is_its_own() -> None:
    assert TINY.without_pretrained() is TINY
