"""Named experiments: model, data, optimiser and schedule under one name.

The numbers of the published recipes are those of the released configurations, which made the
published weights; where the paper's text says otherwise, the comment says so.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

import tyro
from rich.console import Console
from rich.table import Table

from swin_dense.backbone import SwinConfig
from swin_dense.heads.detector import BoxConfig, MaskConfig, RPNConfig
from swin_dense.heads.mask_rcnn import MaskRCNNConfig
from swin_dense.heads.models import MODEL_VARIANTS, ModelConfig
from swin_dense.tools.optim import AdamWConfig, StepSchedule


@dataclass(frozen=True, kw_only=True)
class DetectionData:
    """A data set in COCO layout and its augmentation (Carion et al. 2020, DETR)."""

    task: ClassVar[str] = "detection"

    root: Path = Path("data/coco")
    """Folder with annotations/instances_{split}.json and {split}/*.jpg."""
    train_split: str = "train2017"
    """Split to train on."""
    val_split: str = "val2017"
    """Split to evaluate on."""
    flip: float = 0.5
    """Probability of the mirror image."""
    train_shorts: tuple[int, ...] = tuple(range(480, 801, 32))
    """Lengths of the short side to choose from, px."""
    train_long: int = 1333
    """Largest long side in training, px."""
    crop_shorts: tuple[int, ...] = (400, 500, 600)
    """Half of the images are first resized to one of these short sides, px, and cropped; empty: no
    crops."""
    crop_range: tuple[int, int] = (384, 600)
    """Smallest and largest side of that crop, px."""
    scale: tuple[int, int] = (1333, 800)
    """LONG SHORT side of the keep-ratio resize in evaluation, px."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Model, data, optimiser and schedule; every field is a flag of `swin-dense train`."""

    name: Annotated[str, tyro.conf.Suppress]
    source: Annotated[str, tyro.conf.Suppress]
    """Where the published scores stand."""
    published: Annotated[tuple[tuple[str, float], ...], tyro.conf.Suppress] = ()
    """Published scores in percent, by name."""
    model: ModelConfig
    """The network; the number of classes is the data's."""
    data: DetectionData
    """Data set and augmentation."""
    batch_size: int = 16
    """Images of one step, over all processes."""
    epochs: int = 12
    """Passes over the data."""
    steps: int | None = None
    """Number of steps instead of passes over the data."""
    optimizer: AdamWConfig = field(default_factory=AdamWConfig)
    """AdamW."""
    schedule: StepSchedule = field(default_factory=StepSchedule)
    """Learning rate over the training."""
    seed: int = 0
    """Of weights, order and augmentation."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    @property
    def task(self) -> str:
        """ "detection" or "segmentation"."""
        return self.data.task

    def num_steps(self, steps_per_epoch: int) -> int:
        """Length of the training for a data set of so many steps an epoch."""
        return self.steps if self.steps is not None else self.epochs * steps_per_epoch


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; lists those there are.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def _with_drop_path(variant: str, rate: float) -> ModelConfig:
    config = MODEL_VARIANTS[variant]
    return replace(config, backbone=replace(config.backbone, drop_path_rate=rate))


_OFFICIAL_COCO = "SwinTransformer/Swin-Transformer-Object-Detection, README"

_RECIPES = (
    # 43.7 / 39.8 published; drop path 0.1 in the released configuration, 0.2 in the paper's text.
    # Users who repeat it without half precision report 43.2 / 39.5.
    Recipe(
        name="mask_rcnn_swin_t_coco_1x",
        source=_OFFICIAL_COCO,
        published=(("box AP", 43.7), ("mask AP", 39.8)),
        model=_with_drop_path("mask_rcnn_swin_t", 0.1),
        data=DetectionData(),
        epochs=12,
        schedule=StepSchedule(milestones=(8 / 12, 11 / 12)),
    ),
    # 46.0 / 41.6 published.
    Recipe(
        name="mask_rcnn_swin_t_coco_3x",
        source=_OFFICIAL_COCO,
        published=(("box AP", 46.0), ("mask AP", 41.6)),
        model=_with_drop_path("mask_rcnn_swin_t", 0.2),
        data=DetectionData(),
        epochs=36,
        schedule=StepSchedule(milestones=(27 / 36, 33 / 36)),
    ),
    # 48.5 / 43.3 published.
    Recipe(
        name="mask_rcnn_swin_s_coco_3x",
        source=_OFFICIAL_COCO,
        published=(("box AP", 48.5), ("mask AP", 43.3)),
        model=_with_drop_path("mask_rcnn_swin_s", 0.2),
        data=DetectionData(),
        epochs=36,
        schedule=StepSchedule(milestones=(27 / 36, 33 / 36)),
    ),
    # Small enough for two CPU cores and minutes; learns drawn shapes of 128 px from random weights.
    # Windows of 4 tokens fit the grids of 32, 16, 8 and 4 cells without padding.
    Recipe(
        name="mask_rcnn_demo",
        source="not published; made for `swin-dense demo`",
        model=MaskRCNNConfig(
            backbone=SwinConfig(
                embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16), window_size=4
            ),
            fpn_channels=48,
            rpn=RPNConfig(
                anchor_scale=4.0,
                train_nms_pre=300,
                train_max_proposals=300,
                test_nms_pre=300,
                test_max_proposals=300,
            ),
            box=BoxConfig(fc_channels=256, num_samples=32),
            mask=MaskConfig(num_convs=2, channels=48),
        ),
        data=DetectionData(
            root=Path("demo/data"),
            train_split="train2017",
            val_split="val2017",
            train_shorts=(128,),
            train_long=128,
            crop_shorts=(),
            scale=(128, 128),
        ),
        batch_size=8,
        steps=600,
        optimizer=AdamWConfig(lr=2e-3, clip_norm=5.0),
        schedule=StepSchedule(warmup_steps=50, milestones=(0.75, 0.92)),
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}


@dataclass(frozen=True, kw_only=True)
class Options:
    """List the recipes with their published scores."""


def run(options: Options) -> None:
    """Print the recipes on stdout."""
    del options
    table = Table("recipe", "length", "published", "source")
    for recipe in RECIPES.values():
        length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
        scores = ", ".join(f"{name} {value}" for name, value in recipe.published)
        table.add_row(recipe.name, length, scores or "-", recipe.source)
    Console(width=None if Console().is_terminal else 200).print(table)
