"""A recipe: model, data, optimiser and schedule; every field is a flag of `train`."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, ClassVar

import tyro

from swin_dense.configs import BackboneConfig, find_backbone
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.variants import MODEL_VARIANTS
from swin_dense.ranges import Ranges, check_ranges
from swin_dense.tools.recipes.data import DataConfig
from swin_dense.tools.recipes.optim import AdamWConfig, Schedule, StepSchedule


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Model, data, optimiser and schedule; every field is a flag of `swin-dense train`."""

    ranges: ClassVar[Ranges] = {
        "published": (-math.inf, math.inf),
        "batch_size": (1, 2**14),
        "epochs": (1, 10**6),
        "steps": (1, 10**9),
        "seed": (0, 2**32 - 1),
    }

    name: Annotated[str, tyro.conf.Suppress]
    source: Annotated[str, tyro.conf.Suppress]
    """Origin of the published scores."""
    published: Annotated[tuple[tuple[str, float], ...], tyro.conf.Suppress] = ()
    """Published scores in percent, by name."""
    note: Annotated[str, tyro.conf.Suppress] = ""
    """Differences from the paper, and from the recipe of that name elsewhere."""
    model: ModelConfig
    """The network; the number of classes is the data's."""
    data: DataConfig
    """Data set and augmentation."""
    batch_size: int = 16
    """Images of one step, over all processes."""
    epochs: int = 12
    """Passes over the data."""
    steps: int | None = None
    """Number of steps instead of passes over the data; None: --epochs counts."""
    evaluate_every: Annotated[int | None, tyro.conf.Suppress] = None
    """Steps between evaluations where the flag of that name is not given; None: its default."""
    optimizer: AdamWConfig = field(default_factory=AdamWConfig)
    """AdamW."""
    schedule: Schedule = field(default_factory=StepSchedule)
    """Learning rate over the training."""
    seed: int = 0
    """Of weights, order and augmentation."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        check_ranges(self)

    @property
    def task(self) -> str:
        """Name of the task, which the data config gives."""
        return self.data.task

    def num_steps(self, steps_per_epoch: int) -> int:
        """Length of the training for a data set of so many steps an epoch."""
        return self.steps if self.steps is not None else self.epochs * steps_per_epoch


def with_backbone(recipe: Recipe, backbone: BackboneConfig | str) -> Recipe:
    """The recipe with another backbone in its model.

    What the recipe sets for training (drop path, frozen stages, gradient checkpointing) stays where
    the backbone is of the same kind; of another kind it has its own defaults.

    Args:
        recipe: of any task.
        backbone: a config, or a name as `find_backbone` knows it: "swin_s", "timm:convnext_tiny".

    Raises:
        ValueError: there is no such backbone.
    """
    before = recipe.model.backbone
    if isinstance(backbone, str):
        backbone = find_backbone(backbone)
        if type(backbone) is type(before):
            names = [field.name for field in fields(BackboneConfig)]
            backbone = replace(backbone, **{name: getattr(before, name) for name in names})
    return replace(recipe, model=replace(recipe.model, backbone=backbone))


def published_model(variant: str, *, drop_path: float, frozen_stages: int = -1) -> ModelConfig:
    """A model's variant with what its recipe sets in the backbone (see `SwinConfig`)."""
    config = MODEL_VARIANTS[variant]
    backbone = replace(config.backbone, drop_path_rate=drop_path, frozen_stages=frozen_stages)
    return replace(config, backbone=backbone)
