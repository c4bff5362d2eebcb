"""Configs of AdamW and of the published learning rate schedules.

The schedules are pure functions of the step: nothing of them has to be saved to continue a run.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from swin_dense.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class AdamWConfig:
    """AdamW (Loshchilov and Hutter 2019) as the released Swin configurations use it."""

    ranges: ClassVar[Ranges] = {
        "betas": (0, 1),
        "weight_decay": (0, 1000),
        "backbone_lr": (0, 1000),
    }

    lr: float = 1e-4
    """Learning rate at the end of the warm-up, for the recipe's batch size."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean of the gradient and of its square."""
    weight_decay: float = 0.05
    """Decoupled weight decay; norms and position tables have none."""
    backbone_lr: float = 1.0
    """Factor of the learning rate for the backbone."""
    clip_norm: float | None = None
    """Largest norm of the gradient of all parameters together; None does not clip."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"optimizer.lr must be above 0, got {self.lr}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"optimizer.clip_norm must be above 0, got {self.clip_norm}")


class Schedule(ABC):
    """Learning rate over a training; each kind is a frozen dataclass that inherits from this."""

    @abstractmethod
    def factor(self, step: int, *, num_steps: int) -> float:
        """Factor of the base learning rate at `step`, counted from 0, of `num_steps`."""


@dataclass(frozen=True, kw_only=True)
class StepSchedule(Schedule):
    """Constant learning rate, multiplied by `gamma` at each milestone, after a linear warm-up."""

    ranges: ClassVar[Ranges] = {
        "warmup_steps": (0, 10**9),
        "warmup_ratio": (0, 1),
        "milestones": (0, 1000),
        "gamma": (0, 1000),
    }

    warmup_steps: int = 500
    """Steps of linear warm-up."""
    warmup_ratio: float = 1e-3
    """Factor of the learning rate at step 0."""
    milestones: tuple[float, ...] = (8 / 12, 11 / 12)
    """Drops of the learning rate, as fractions of the whole training."""
    gamma: float = 0.1
    """Factor at each milestone."""

    def factor(self, step: int, *, num_steps: int) -> float:
        """Factor of the base learning rate at `step`, counted from 0, of `num_steps`."""
        num_passed = sum(step >= round(milestone * num_steps) for milestone in self.milestones)
        return self.gamma**num_passed * _warmup(step, self.warmup_steps, self.warmup_ratio)


@dataclass(frozen=True, kw_only=True)
class PolySchedule(Schedule):
    """Learning rate that falls to 0 as `(1 - step / num_steps) ** power`, after a warm-up."""

    ranges: ClassVar[Ranges] = {
        "warmup_steps": (0, 10**9),
        "warmup_ratio": (0, 1),
        "power": (0, 1000),
    }

    warmup_steps: int = 1500
    """Steps of linear warm-up."""
    warmup_ratio: float = 1e-6
    """Factor of the learning rate at step 0."""
    power: float = 1.0
    """Exponent of the decay; 1 is a straight line."""

    def factor(self, step: int, *, num_steps: int) -> float:
        """Factor of the base learning rate at `step`, counted from 0, of `num_steps`."""
        decay = (1 - step / num_steps) ** self.power
        return decay * _warmup(step, self.warmup_steps, self.warmup_ratio)


@dataclass(frozen=True, kw_only=True)
class CosineSchedule(Schedule):
    """Learning rate that falls along half a cosine to `floor_ratio`, after a warm-up.

    Lengths are shares of the whole training, so that they stay what they are with fewer epochs.
    Loshchilov and Hutter 2017, equation 5, with one period.
    """

    ranges: ClassVar[Ranges] = {
        "warmup": (0, 1),
        "warmup_ratio": (0, 1),
        "floor_ratio": (0, 1),
    }

    warmup: float = 20 / 300
    """Share of the training that is linear warm-up; the cosine is over the rest."""
    warmup_ratio: float = 1e-3
    """Factor of the learning rate at step 0."""
    floor_ratio: float = 1e-2
    """Factor of the learning rate at the end."""

    def factor(self, step: int, *, num_steps: int) -> float:
        """Factor of the base learning rate at `step`, counted from 0, of `num_steps`."""
        warmup_steps = round(self.warmup * num_steps)
        if step < warmup_steps:
            return _warmup(step, warmup_steps, self.warmup_ratio)
        done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
        return self.floor_ratio + (1 - self.floor_ratio) * (1 + math.cos(math.pi * done)) / 2


def _warmup(step: int, num_steps: int, ratio: float) -> float:
    if step >= num_steps:
        return 1.0
    return 1 - (1 - step / num_steps) * (1 - ratio)
