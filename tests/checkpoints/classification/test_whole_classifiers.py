"""Classifiers as whole models, and as published files have them."""

from pathlib import Path

import pytest
import torch

from swin_dense.checkpoints.architecture import backbone_from_checkpoint
from swin_dense.checkpoints.classification.whole_classifiers import (
    bare_classifier,
    bare_names,
    is_bare_classifier,
    is_whole_classifier,
    whole_classifier,
)
from swin_dense.checkpoints.conversion import own_layout
from swin_dense.checkpoints.loading import initialise, load_weights
from swin_dense.configs import SwinConfig
from swin_dense.heads import ClassifierConfig, UPerNetConfig, create_model
from swin_dense.heads.checkpoints import save_model

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)
_CONFIG = ClassifierConfig(backbone=_BACKBONE, num_classes=3)


def test_the_two_forms_lead_to_each_other_to_the_bit() -> None:
    state = create_model(_CONFIG).state_dict()
    assert is_whole_classifier(state)
    bare = bare_classifier(own_layout(state))
    assert is_bare_classifier(bare.state)
    assert {"norm.weight", "head.bias", "layers.0.downsample.norm.bias"} <= bare.state.keys()
    assert not any(key.startswith("backbone.") for key in bare.state)
    back = whole_classifier(bare).state
    assert back.keys() == state.keys()
    assert all(back[key] is state[key] for key in state)


def test_other_models_stay_as_they_are() -> None:
    config = UPerNetConfig(backbone=_BACKBONE, decoder_channels=8, auxiliary_channels=None)
    for module in (create_model(config), create_model(config).backbone):
        state = module.state_dict()
        assert not is_whole_classifier(state)
        assert not is_bare_classifier(state)
        assert bare_names(state) == state
        assert whole_classifier(own_layout(state)).state.keys() == state.keys()


def test_the_backbone_of_our_file_has_all_levels_as_of_published_ones(tmp_path: Path) -> None:
    model = create_model(_CONFIG)
    save_model(model, tmp_path / "a.safetensors")
    backbone = backbone_from_checkpoint(tmp_path / "a.safetensors")
    assert backbone.channels == (8, 16, 32, 64)
    block = "layers.2.blocks.0.attn.qkv.weight"
    assert torch.equal(backbone.state_dict()[block], model.backbone.state_dict()[block])
    assert torch.equal(backbone.norm3.weight, torch.ones(64))


def test_a_file_goes_into_a_classifier_or_a_backbone_in_either_form() -> None:
    source = create_model(_CONFIG)
    torch.nn.init.normal_(source.backbone.norm3.weight)
    for state in (source.state_dict(), bare_names(source.state_dict())):
        model = create_model(_CONFIG)
        load_weights(model, state)
        assert torch.equal(model.backbone.norm3.weight, source.backbone.norm3.weight)
        assert torch.equal(model.head.weight, source.head.weight)
        segmentor = create_model(
            UPerNetConfig(backbone=_BACKBONE, decoder_channels=8, auxiliary_channels=None)
        )
        report = initialise(segmentor, state)
        assert set(report.dropped) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
        assert len(report.new) == 8
        assert torch.equal(segmentor.backbone.norm3.weight, torch.ones(64))


def test_a_whole_segmentor_is_not_loaded_from_a_classifier() -> None:
    model = create_model(
        UPerNetConfig(backbone=_BACKBONE, decoder_channels=8, auxiliary_channels=None)
    )
    with pytest.raises(ValueError, match="holds a backbone only"):
        load_weights(model, create_model(_CONFIG).state_dict())
