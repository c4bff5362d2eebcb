"""The classification recipes: ImageNet's as published, one for a small machine, the demo.

Liu et al. 2021, appendix A2.1, and the released configurations (microsoft/Swin-Transformer,
`config.py`, `configs/swin` and `configs/swinmlp`). Learning rates there are for a batch of 512 and
grow with it, as do those that the warm-up starts from and the cosine ends at.
"""

from dataclasses import replace
from pathlib import Path

from swin_dense.configs import SwinConfig
from swin_dense.heads.classification.config import (
    IMAGENET_22K,
    ClassifierConfig,
    ViewConfig,
)
from swin_dense.tools.recipes.data import ClassificationData
from swin_dense.tools.recipes.optim import AdamWConfig, CosineSchedule
from swin_dense.tools.recipes.recipe import Recipe, published_model

_SOURCE = "microsoft/Swin-Transformer, README"
_OPERATIONS = (
    "RandAugment has torchvision's operations, which are timm's but for two (invert, and solarise "
    "after adding)"
)
_FP16 = "published with --precision fp16"
_REFERENCE_BATCH = 512  # of the released learning rates

_Scores = tuple[float, float]


def _lr(base: float, batch_size: int) -> float:
    return base * batch_size / _REFERENCE_BATCH


def _published(scores: _Scores | None) -> tuple[tuple[str, float], ...]:
    return () if scores is None else (("top-1", scores[0]), ("top-5", scores[1]))


def _imagenet(
    variant: str, drop_path: float, scores: _Scores, *, view: tuple[int, int] = (256, 224)
) -> Recipe:
    """A released recipe from random weights: 300 epochs, 20 of them warm-up."""
    return Recipe(
        name=f"classifier_{variant}_imagenet_300e",
        source=_SOURCE,
        published=_published(scores),
        note=f"{_OPERATIONS}; {_FP16}",
        model=published_model(f"classifier_{variant}", drop_path=drop_path),
        data=ClassificationData(scale=view, size=view[1]),
        batch_size=1024,
        epochs=300,
        optimizer=AdamWConfig(lr=_lr(5e-4, 1024), weight_decay=0.05, clip_norm=5.0),
        schedule=CosineSchedule(warmup=20 / 300),
    )


def _imagenet_22k(size: str, drop_path: float) -> Recipe:
    """A released recipe of pre-training on ImageNet-22K: 90 epochs, 5 of them warm-up."""
    model = published_model(f"classifier_swin_{size}", drop_path=drop_path)
    return Recipe(
        name=f"classifier_swin_{size}_imagenet22k_90e",
        source=_SOURCE,
        note="the paper's text has a weight decay of 0.01 and a straight line instead of the "
        f"cosine; {_OPERATIONS}; {_FP16}",
        model=replace(model, num_classes=IMAGENET_22K),
        data=ClassificationData(root=Path("data/imagenet22k")),
        batch_size=4096,
        epochs=90,
        optimizer=AdamWConfig(lr=_lr(1.25e-4, 4096), weight_decay=0.05, clip_norm=5.0),
        schedule=CosineSchedule(warmup=5 / 90),
    )


def _finetuned(variant: str, name: str, drop_path: float, scores: _Scores, note: str) -> Recipe:
    """A released recipe of fine-tuning on ImageNet-1K: 30 epochs, 5 of them warm-up."""
    model = published_model(f"classifier_{variant}", drop_path=drop_path)
    is_large = variant.endswith("w12")
    side = {"size": 384, "scale": (384, 384), "keep_ratio": False} if is_large else {}
    return Recipe(
        name=f"classifier_{variant}_{name}_30e",
        source=_SOURCE,
        published=_published(scores),
        note=f"{note}; the paper's text has a constant learning rate of 1e-5; {_OPERATIONS}; "
        f"{_FP16}",
        model=model,
        data=ClassificationData(**side),  # type: ignore[arg-type]
        batch_size=1024,
        epochs=30,
        optimizer=AdamWConfig(lr=_lr(2e-5, 1024), weight_decay=1e-8, clip_norm=5.0),
        schedule=CosineSchedule(warmup=5 / 30),
    )


_FROM_224 = "for --init FILE, FILE being swin_base_patch4_window7_224"
_FROM_22K = (
    "for --init FILE, FILE being that of ImageNet-22K: the rows of the 1000 classes are kept"
)

_PUBLISHED = (
    # 81.2 / 95.5 published; the paper has 81.3 top-1.
    _imagenet("swin_t", 0.2, (81.2, 95.5)),
    # 83.2 / 96.2 published; the paper has 83.0 top-1.
    _imagenet("swin_s", 0.3, (83.2, 96.2)),
    # 83.5 / 96.5 published.
    _imagenet("swin_b", 0.5, (83.5, 96.5)),
    # 81.6 / 95.7 published: heads of 24 channels and windows of 8, at 256 px.
    _imagenet("swin_t_c24", 0.2, (81.6, 95.7), view=(292, 256)),
    # Swin-MLP: 79.4 / 94.6, 79.6 / 94.7, 79.7 / 94.9 and 81.3 / 95.3 published.
    _imagenet("swin_mixer_t_d24", 0.2, (79.4, 94.6), view=(292, 256)),
    _imagenet("swin_mixer_t_d12", 0.2, (79.6, 94.7), view=(292, 256)),
    _imagenet("swin_mixer_t_d6", 0.2, (79.7, 94.9), view=(292, 256)),
    _imagenet("swin_mixer_b_d24", 0.5, (81.3, 95.3)),
    # 84.5 / 97.0 published.
    _finetuned("swin_b_w12", "imagenet_384", 0.5, (84.5, 97.0), _FROM_224),
    _imagenet_22k("t", 0.1),
    _imagenet_22k("s", 0.2),
    _imagenet_22k("b", 0.2),
    _imagenet_22k("l", 0.2),
    # 80.9 / 96.0 published.
    _finetuned("swin_t", "22kto1k", 0.1, (80.9, 96.0), _FROM_22K),
    # 83.2 / 97.0 published.
    _finetuned("swin_s", "22kto1k", 0.2, (83.2, 97.0), _FROM_22K),
    # 85.2 / 97.5 published.
    _finetuned("swin_b", "22kto1k", 0.2, (85.2, 97.5), _FROM_22K),
    # 86.3 / 97.9 published.
    _finetuned("swin_l", "22kto1k", 0.2, (86.3, 97.9), _FROM_22K),
    # 86.4 / 98.0 published.
    _finetuned("swin_b_w12", "22kto1k_384", 0.2, (86.4, 98.0), _FROM_22K),
    # 87.3 / 98.2 published.
    _finetuned("swin_l_w12", "22kto1k_384", 0.2, (87.3, 98.2), _FROM_22K),
)

# Ten classes of ImageNet, 9,469 images to train on (fastai/imagenette), from random weights. A
# batch of 128 fits one small GPU and gives 74 steps a pass; the learning rate is above ImageNet's
# for that batch, as there are a twentieth of its steps, and drop path is that of the shortest
# published training. Not run here.
_IMAGENETTE = Recipe(
    name="swin_t_imagenette",
    source="not published; made for one small machine",
    note="from random weights: published ones have seen 97 % of its validation images",
    model=replace(published_model("classifier_swin_t", drop_path=0.1), num_classes=10),
    data=ClassificationData(root=Path("data/imagenette2"), area=(0.25, 1.0)),
    batch_size=128,
    epochs=200,
    optimizer=AdamWConfig(lr=5e-4, weight_decay=0.05, clip_norm=5.0),
    schedule=CosineSchedule(warmup=10 / 200),
)

# Some hundred images a class of a user: --init FILE --new-classes, with a published classifier.
# Batch, length, frozen stage and drop path for the reasons given with `mask_rcnn_swin_t_finetune`;
# the learning rate is that of the released fine-tuning for a larger batch, as the head is new.
_FINETUNE = Recipe(
    name="classifier_swin_t_finetune",
    source="not published; made for small sets",
    note="for --init FILE --new-classes, FILE being a published classifier",
    model=published_model("classifier_swin_t", drop_path=0.1, frozen_stages=1),
    data=ClassificationData(root=Path("data/own"), area=(0.25, 1.0), mixup=0.0, cutmix=0.0),
    batch_size=32,
    steps=2000,
    evaluate_every=200,
    optimizer=AdamWConfig(lr=1e-4, weight_decay=0.05, clip_norm=5.0),
    schedule=CosineSchedule(warmup=0.05),
)

_DEMO = Recipe(
    name="classifier_demo",
    source="not published; made for `swin-dense demo`",
    model=ClassifierConfig(
        backbone=SwinConfig(
            embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16), window_size=4
        ),
        num_classes=10,
        view=ViewConfig(resize=32, crop=32),
    ),
    data=ClassificationData(
        root=Path("demo/data/classes"),
        scale=(32, 32),
        size=32,
        area=(0.6, 1.0),
        ratio=(0.8, 1.25),
        magnitude=None,
        erasing=0.0,
        mixup=0.0,
        cutmix=0.0,
    ),
    batch_size=32,
    steps=1000,
    optimizer=AdamWConfig(lr=2e-3, clip_norm=5.0),
    schedule=CosineSchedule(warmup=0.06),
)

CLASSIFICATION_RECIPES: tuple[Recipe, ...] = (*_PUBLISHED, _IMAGENETTE, _FINETUNE, _DEMO)
