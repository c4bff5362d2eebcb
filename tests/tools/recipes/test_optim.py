"""Parameter groups and schedules against numbers worked by hand."""

from dataclasses import replace

import pytest

from swin_dense.configs import BackboneConfig, SwinConfig, TimmConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.config import UPerNetConfig
from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.optim import (
    AdamWConfig,
    PolySchedule,
    StepSchedule,
    create_optimizer,
    parameter_groups,
)

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


@pytest.mark.parametrize("field", ["lr", "clip_norm"])
def test_rates_and_norms_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{field} must be above 0, got 0"):
        AdamWConfig(**{field: 0.0})


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.001),
        (250, 0.5005),  # half way from 0.001 to 1
        (499, 1 - 0.999 / 500),
        (500, 1.0),
        (7999, 1.0),
        (8000, 0.1),
        (10999, 0.1),
        (11000, 0.01),
        (11999, 0.01),
    ],
)
def test_the_1x_schedule_drops_at_epochs_8_and_11_of_12(step: int, expected: float) -> None:
    factor = StepSchedule(milestones=(8 / 12, 11 / 12)).factor(step, num_steps=12000)
    assert factor == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-6),
        (750, (1 - 750 / 160000) * (1 - 0.5 * (1 - 1e-6))),
        (1500, 1 - 1500 / 160000),
        (80000, 0.5),
        (160000, 0.0),
    ],
)
def test_the_poly_schedule_falls_to_zero_after_its_warm_up(step: int, expected: float) -> None:
    factor = PolySchedule().factor(step, num_steps=160000)
    assert factor == pytest.approx(expected, rel=1e-9)


def test_no_warm_up_starts_at_the_full_rate() -> None:
    assert StepSchedule(warmup_steps=0).factor(0, num_steps=10) == 1.0
