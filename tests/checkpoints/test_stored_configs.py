"""Configs through JSON and back."""

import dataclasses
import json
from typing import Literal

import pytest

from swin_dense.checkpoints.stored_configs import build_config, config_as_json, has_type
from swin_dense.configs import SWIN_VARIANTS, SwinConfig
from swin_dense.heads.variants import MODEL_VARIANTS

_TINY = json.loads(json.dumps(dataclasses.asdict(SWIN_VARIANTS["swin_t"])))


@pytest.mark.parametrize("name", MODEL_VARIANTS)
def test_a_config_comes_back_from_its_json_equal(name: str) -> None:
    config = MODEL_VARIANTS[name]
    stored = json.loads(json.dumps(config_as_json(config)))
    assert build_config(type(config), stored, where="config") == config


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_head": 3}, "config has the unknown 'num_head'"),
        ({"window_size": 7.5}, "config.window_size must be .*int.*, got 7.5"),
        ({"window_size": True}, "config.window_size must be .*int.*, got True"),
        ({"depths": [2, "2"]}, r"config.depths must be .*int.*, got \[2, '2'\]"),
        ({"activation": None}, "config.activation must be .*str.*, got None"),
    ],
)
def test_a_wrong_name_or_value_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_config(SwinConfig, _TINY | changed, where="config")


def test_a_value_that_has_no_default_must_be_there() -> None:
    config_class = type(MODEL_VARIANTS["mask_rcnn_swin_t"])
    with pytest.raises(ValueError, match="config must have 'backbone'"):
        build_config(config_class, {}, where="config")


def test_a_value_of_a_literal_is_one_of_its_own() -> None:
    assert has_type("semantic", Literal["instance", "semantic"])
    assert not has_type("boxes", Literal["instance", "semantic"])
    assert not has_type(["semantic"], Literal["instance", "semantic"])


def test_whole_numbers_are_floats_too_but_truths_are_not_numbers() -> None:
    assert has_type(1, float)
    assert not has_type(True, float)
    assert has_type(None, int | None)
    assert has_type((1, 2), tuple[int, ...])
    assert not has_type([1, 2], tuple[int, ...])
