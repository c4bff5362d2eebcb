"""What a recipe is: model, data, optimiser and schedule; every field is a flag of `train`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from swin_dense.heads.models import MODEL_VARIANTS
from swin_dense.heads.whole_model import ModelConfig
from swin_dense.tools.recipes.optim import AdamWConfig, PolySchedule, StepSchedule


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
class SegmentationData:
    """A data set in ADE20K's layout and its augmentation (mmsegmentation's, as released)."""

    task: ClassVar[str] = "segmentation"

    root: Path = Path("data/ADEChallengeData2016")
    """Folder with images/{split}, annotations/{split}, and classes.txt or classes.csv if the
    classes are not ADE20K's."""
    train_split: str = "training"
    """Split to train on."""
    val_split: str = "validation"
    """Split to evaluate on."""
    class_names: tuple[str, ...] = ()
    """Names of the classes in the order of their labels; empty: those of the root's list."""
    reduce_zero_label: bool = True
    """Label maps store 0 for "ignored" and 1..K; else they store 0..K-1. 255 is always ignored."""
    scale: tuple[int, int] = (2048, 512)
    """LONG SHORT side of the keep-ratio resize, px; in training times a ratio."""
    ratios: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest of those ratios."""
    crop: tuple[int, int] = (512, 512)
    """HEIGHT WIDTH of the training crop, px."""
    cat_max_ratio: float = 0.75
    """The most of a crop's labelled pixels that one class may have, in one of 10 tries."""
    flip: float = 0.5
    """Probability of the mirror image."""
    photometric: bool = True
    """Distort brightness, contrast, saturation and hue."""


Data = DetectionData | SegmentationData


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Model, data, optimiser and schedule; every field is a flag of `swin-dense train`."""

    name: Annotated[str, tyro.conf.Suppress]
    source: Annotated[str, tyro.conf.Suppress]
    """Where the published scores stand."""
    published: Annotated[tuple[tuple[str, float], ...], tyro.conf.Suppress] = ()
    """Published scores in percent, by name."""
    note: Annotated[str, tyro.conf.Suppress] = ""
    """Where the paper says otherwise, and what else differs from the recipe of that name."""
    model: ModelConfig
    """The network; the number of classes is the data's."""
    data: Data
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
    schedule: StepSchedule | PolySchedule = field(default_factory=StepSchedule)
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

    @property
    def task(self) -> str:
        """ "detection" or "segmentation"."""
        return self.data.task

    def num_steps(self, steps_per_epoch: int) -> int:
        """Length of the training for a data set of so many steps an epoch."""
        return self.steps if self.steps is not None else self.epochs * steps_per_epoch


def published_model(variant: str, *, drop_path: float, frozen_stages: int = -1) -> ModelConfig:
    """A model's variant with what its recipe sets in the backbone (see `SwinConfig`)."""
    config = MODEL_VARIANTS[variant]
    backbone = replace(config.backbone, drop_path_rate=drop_path, frozen_stages=frozen_stages)
    return replace(config, backbone=backbone)
