"""Parameter groups and schedules against numbers worked by hand."""

import pytest
from torch import nn

from swin_dense.tools.recipes.optim import (
    AdamWConfig,
    PolySchedule,
    StepSchedule,
    create_optimizer,
    parameter_groups,
)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.bn = nn.BatchNorm1d(2)
        self.relative_position_bias_table = nn.Parameter(nn.Linear(2, 2).weight.detach())
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def test_norms_and_position_tables_are_not_decayed_but_biases_are() -> None:
    net = _Net()
    decayed, undecayed = parameter_groups(net, weight_decay=0.05)
    assert decayed["weight_decay"] == 0.05
    assert undecayed["weight_decay"] == 0.0
    assert {id(p) for p in decayed["params"]} == {
        id(p) for p in (net.linear.weight, net.linear.bias, net.bn.weight, net.bn.bias)
    }
    assert {id(p) for p in undecayed["params"]} == {
        id(p) for p in (net.norm.weight, net.norm.bias, net.relative_position_bias_table)
    }


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a trainable parameter"):
        parameter_groups(nn.Linear(1, 1).requires_grad_(False), weight_decay=0.1)


def test_the_optimiser_takes_its_numbers_from_the_config() -> None:
    optimizer = create_optimizer(_Net(), AdamWConfig(lr=0.2, betas=(0.8, 0.9), weight_decay=0.3))
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
