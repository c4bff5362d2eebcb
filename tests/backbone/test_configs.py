"""Configs of backbones stand below the modules that they build."""

import swin_dense as sd
from swin_dense.blocks import ACTIVATIONS
from swin_dense.configs import ACTIVATION_NAMES


def test_the_activations_that_a_config_may_name_are_those_of_the_blocks() -> None:
    assert set(ACTIVATION_NAMES) == ACTIVATIONS.keys()


def test_a_config_builds_its_module() -> None:
    config = sd.SwinConfig(embed_dim=4, depths=(1,), num_heads=(1,), out_indices=(0,))
    backbone = config.build()
    assert type(backbone) is sd.SwinTransformer
    assert backbone.config is config
