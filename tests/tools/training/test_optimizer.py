"""Parameter groups, and the optimiser's numbers."""

from dataclasses import replace

import pytest
import torch

from swin_dense.configs import BackboneConfig, SwinConfig, TimmConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.optim import AdamWConfig
from swin_dense.tools.training.optimizer import create_optimizer, parameter_groups

BACKBONE = SwinConfig(embed_dim=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)


def _model(backbone: BackboneConfig = BACKBONE) -> Model:
    config = UPerNetConfig(
        backbone=backbone, num_classes=2, decoder_channels=4, auxiliary_channels=4
    )
    return create_model(config)


def _names(model: Model, group: dict[str, object]) -> set[str]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(parameter)] for parameter in group["params"]}


def test_norms_and_position_tables_are_not_decayed_but_biases_and_batch_norms_are() -> None:
    model = _model()
    decayed, undecayed = parameter_groups(model, weight_decay=0.05)
    assert decayed["weight_decay"] == 0.05
    assert undecayed["weight_decay"] == 0.0
    names = {name for name, _ in model.named_parameters()}
    expected = {name for name in names if "norm" in name or "relative_position_bias" in name}
    assert _names(model, undecayed) == expected
    assert _names(model, decayed) == names - expected
    block = "backbone.layers.0.blocks.0"
    assert {f"{block}.norm1.weight", f"{block}.attn.relative_position_bias_table"} < expected
    assert {f"{block}.attn.qkv.bias", "decode_head.bottleneck.bn.weight"} < names - expected


def test_the_backbone_may_have_another_learning_rate() -> None:
    model = _model()
    groups = parameter_groups(model, weight_decay=0.05, backbone_lr=0.1)
    kinds = {(group["lr_factor"], group["weight_decay"]) for group in groups}
    assert {(1.0, 0.05), (0.1, 0.05), (0.1, 0.0)} <= kinds
    for group in groups:
        is_backbone = {name.startswith("backbone.") for name in _names(model, group)}
        assert is_backbone == {group["lr_factor"] == 0.1}


def test_frozen_parameters_are_in_no_group() -> None:
    model = _model(replace(BACKBONE, frozen_stages=0))
    groups = parameter_groups(model, weight_decay=0.05)
    grouped = set().union(*(_names(model, group) for group in groups))
    assert grouped == {name for name, p in model.named_parameters() if p.requires_grad}
    assert "backbone.patch_embed.proj.weight" not in grouped


def test_a_backbone_says_what_of_it_is_not_decayed() -> None:
    pytest.importorskip("timm", reason="needs timm")
    model = _model(TimmConfig(name="test_convnext"))
    _, undecayed = parameter_groups(model, weight_decay=0.05)
    assert {name for name in _names(model, undecayed) if name.startswith("backbone.")} == {
        name
        for name, parameter in model.named_parameters()
        if name.startswith("backbone.") and parameter.ndim <= 1
    }


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a trainable parameter"):
        parameter_groups(_model().requires_grad_(False), weight_decay=0.1)


def test_the_optimiser_takes_its_numbers_from_the_config() -> None:
    optimizer = create_optimizer(_model(), AdamWConfig(lr=0.2, betas=(0.8, 0.9), weight_decay=0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.2}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.9)}


def test_the_fused_optimiser_takes_the_same_steps(generator: torch.Generator) -> None:
    first, second = _model(), _model()
    second.load_state_dict(first.state_dict())
    config = AdamWConfig(lr=0.01)
    pairs = [
        (first, create_optimizer(first, config)),
        (second, create_optimizer(second, config, fused=True)),
    ]
    for _ in range(3):
        gradients = [
            torch.randn(parameter.shape, generator=generator) for parameter in first.parameters()
        ]
        for model, optimizer in pairs:
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
