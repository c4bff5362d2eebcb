"""Whole weights and optimiser states in one process (several: `test_setup.py`)."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import assert_same, segmentation_recipe

from swin_dense.heads.models import create_model
from swin_dense.tools.training.distributed.sharding import (
    is_sharded,
    load_optimizer_state,
    load_whole_weights,
    whole_copy,
    whole_optimizer_state,
    whole_weights,
)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return create_model(segmentation_recipe(Path("data"), steps=1).model, num_classes=3)


def _step(model: Any) -> torch.optim.Optimizer:
    """An optimiser that has made one step."""
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.square().sum() for parameter in model.parameters()).backward()
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def test_whole_weights_are_the_state_dict_and_come_back(model: Any) -> None:
    weights = {name: value.clone() for name, value in whole_weights(model).items()}
    assert_same(weights, dict(model.state_dict()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_whole_weights(model, weights)
    assert_same(dict(model.state_dict()), weights)
    assert not is_sharded(model)


def test_the_optimisers_state_goes_by_names_and_comes_back(model: Any) -> None:
    state = whole_optimizer_state(model, _step(model))
    assert state["state"].keys() == dict(model.named_parameters()).keys()
    fresh = torch.optim.AdamW(model.parameters())
    load_optimizer_state(model, fresh, state)
    assert_same(whole_optimizer_state(model, fresh)["state"], state["state"])


def test_a_whole_copy_shares_no_weight(model: Any) -> None:
    copy = whole_copy(model, torch.device("cpu"))
    assert_same(dict(copy.state_dict()), dict(model.state_dict()))
    pointers = {parameter.data_ptr() for parameter in model.parameters()}
    assert not pointers & {parameter.data_ptr() for parameter in copy.parameters()}
