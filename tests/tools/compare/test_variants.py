"""Variants: every combination of values, each refused before anything is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swin_dense.configs import SWIN_VARIANTS, TimmConfig
from swin_dense.tools.command_line import parse_value
from swin_dense.tools.compare.variants import as_text, make_variants
from swin_dense.tools.recipes.recipe import with_backbone
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.options import Options

RECIPE = find_recipe("classifier_demo")
ACTIVATION = "model.backbone.activation"


def base(backbone: Any) -> Options:
    return Options(recipe=RECIPE if backbone is None else with_backbone(RECIPE, backbone))


def test_a_variant_has_its_value_and_all_else_of_the_recipe() -> None:
    gelu, relu = make_variants({ACTIVATION: ["gelu", "relu"]}, base)
    assert (gelu.name, relu.name) == ("gelu", "relu")
    assert gelu.options.recipe == RECIPE
    assert relu.options.recipe.model.backbone == replace(RECIPE.model.backbone, activation="relu")
    assert replace(relu.options.recipe, model=RECIPE.model) == RECIPE


def test_several_fields_give_every_combination_the_last_changing_first() -> None:
    made = make_variants({"optimizer.lr": [1e-3, 1e-4], ACTIVATION: ["gelu", "relu"]}, base)
    assert [variant.name for variant in made] == [
        *("0.001, gelu", "0.001, relu", "0.0001, gelu", "0.0001, relu")
    ]
    assert made[2].options.recipe.optimizer.lr == 1e-4
    assert made[1].values == {"optimizer.lr": "0.001", ACTIVATION: "relu"}


def test_backbones_are_chosen_by_name_or_config_before_their_fields() -> None:
    varied = {"model.backbone": ["swin_s", "swin_b"], "model.backbone.window_size": [4, 5]}
    made = make_variants(varied, base)
    backbones = [variant.options.recipe.model.backbone for variant in made]
    assert [(b.embed_dim, b.window_size) for b in backbones] == [
        (96, 4),
        (96, 5),
        (128, 4),
        (128, 5),
    ]
    varied = {"model.backbone": [SWIN_VARIANTS["swin_t"], "timm:resnet18"]}
    made = make_variants(varied, base)
    assert made[1].options.recipe.model.backbone == TimmConfig(name="resnet18")
    assert made[1].name == "timm:resnet18"


def test_words_are_read_as_flags_read_them() -> None:
    varied = {"data.scale": ["32 32", "48 40"], "optimizer.clip_norm": ["None", "5"]}
    made = make_variants(varied, base, read=parse_value)
    assert [variant.name for variant in made][:2] == ["32 32, none", "32 32, 5"]
    assert made[3].options.recipe.data.scale == (48, 40)
    assert made[0].options.recipe.optimizer.clip_norm is None


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({}, "--vary must name a field of the recipe and two or more values, got none"),
        ({ACTIVATION: ["gelu"]}, r"activation must have two or more values, got gelu$"),
        ({ACTIVATION: []}, "must have two or more values, got none"),
        ({ACTIVATION: "gelu"}, "must have a list of values, got 'gelu'"),
        ({ACTIVATION: ["gelu", "tanh"]}, "unknown activation 'tanh'; choose one of gelu"),
        ({ACTIVATION: ["gelu", 3]}, "model.backbone.activation must be str, got 3"),
        (
            {"model.backbone.activatio": ["a", "b"]},
            "unknown field .*near it are model.backbone.act",
        ),
        ({"name": ["a", "b"]}, "unknown field 'name'"),
        ({"precision": ["a", "b"]}, "unknown field 'precision'"),
        ({"seed": [0, 1]}, "another field than seed; --seeds N"),
        ({"optimizer": ["a", "b"]}, "got optimizer, which has fields of its own: optimizer.lr"),
        ({"optimizer.lr": [1e-3, 0.001]}, "must have different values, got 0.001 and 0.001"),
        ({"optimizer.lr": [1e-3, -1.0]}, r"optimizer.lr must be above 0, got -1.0"),
        ({"model.backbone": ["swin_t", "swin_x"]}, "unknown backbone 'swin_x'"),
        ({"model.backbone": ["swin_t", "swin_t"]}, "must have different values, got swin_t and"),
    ],
)
def test_what_cannot_be_compared_is_refused(varied: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_variants(varied, base)


def test_values_are_written_as_people_read_them() -> None:
    values = (0.1 + 0.2, 1e-5, 2, True, None, (1, 2.5), Path("a"), TimmConfig(name="resnet18"))
    assert [as_text(value) for value in values] == [
        *("0.30000000000000004", "1e-05", "2", "true", "none", "1 2.5", "a", "timm resnet18")
    ]
