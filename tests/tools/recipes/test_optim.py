"""Configs and schedules against numbers worked by hand."""

import pytest

from swin_dense.tools.recipes.optim import AdamWConfig, PolySchedule, StepSchedule


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
