"""Mask2Former's recipes: COCO's and ADE20K's as published, those for small sets, the demo.

Cheng et al. 2022 and the released configurations. Those have the weights decay of norms, embeddings
and position tables at 0, a tenth of the learning rate for the backbone, and gradients clipped to a
norm of 0.01, of all parameters together.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from swin_dense.configs import SwinConfig
from swin_dense.heads.mask2former.config import Mask2FormerConfig, MaskTask
from swin_dense.heads.model_config import ModelConfig
from swin_dense.tools.recipes.data import (
    DataConfig,
    JitteredData,
    PaddedData,
    PanopticData,
)
from swin_dense.tools.recipes.optim import AdamWConfig, PolySchedule, StepSchedule
from swin_dense.tools.recipes.recipe import Recipe, published_model

_SOURCE = "facebookresearch/Mask2Former, MODEL_ZOO"
_FP16 = "published with --precision fp16"
_FROM_22K = "from an ImageNet-22K backbone of 384 px"
_OPTIMIZER = AdamWConfig(lr=1e-4, weight_decay=0.05, backbone_lr=0.1, clip_norm=0.01)

# Steps of 50 epochs of 118,000 images, and those after which the learning rate drops; twice as
# many for size L.
_COCO_STEPS, _COCO_DROPS = 368_750, (327_778, 355_092)
_LONG_STEPS, _LONG_DROPS = 737_500, (655_556, 710_184)
_ADE20K_STEPS = 160_000

_RATIOS = tuple(range(5, 21))  # tenths of the crop's side
_ADE20K_ROOT = Path("data/ADEChallengeData2016")


def _model(
    variant: str, task: MaskTask, *, num_classes: int, num_queries: int | None = None
) -> ModelConfig:
    changes: dict[str, Any] = {"task": task, "num_classes": num_classes}
    if num_queries is not None:
        changes["num_queries"] = num_queries
    return replace(published_model(variant, drop_path=0.3), **changes)


def _coco(
    size: str, task: MaskTask, scores: tuple[tuple[str, float], ...], *, is_22k: bool = False
) -> Recipe:
    """A released COCO recipe: 50 epochs with large-scale jitter, 100 for size L."""
    is_long = size == "l"
    steps, drops = (_LONG_STEPS, _LONG_DROPS) if is_long else (_COCO_STEPS, _COCO_DROPS)
    model = f"mask2former_swin_{size}"
    backbone = "_22k" if is_22k and not is_long else ""
    data: DataConfig = JitteredData() if task == "instance" else PanopticData()
    return Recipe(
        name=f"{model}{backbone}_coco_{task}_{100 if is_long else 50}e",
        source=_SOURCE,
        published=scores,
        note="; ".join([_FROM_22K, _FP16] if is_22k else [_FP16]),
        model=_model(model, task, num_classes=80 if task == "instance" else 133),
        data=data,
        steps=steps,
        evaluate_every=5000,
        optimizer=_OPTIMIZER,
        schedule=StepSchedule(warmup_steps=0, milestones=tuple(drop / steps for drop in drops)),
    )


def _ade20k(size: str, side: int, single: float, multi: float, *, is_22k: bool = False) -> Recipe:
    """A released recipe for ADE20K's 150 classes; mIoU at one scale, and at six with mirrors."""
    model = f"mask2former_swin_{size}"
    return Recipe(
        name=f"{model}{'_22k' if is_22k and size != 'l' else ''}_ade20k_semantic_160k",
        source=_SOURCE,
        published=(("mIoU", single), ("mIoU (ms+flip)", multi)),
        note="; ".join([_FROM_22K, _FP16] if is_22k else [_FP16]),
        model=_model(model, "semantic", num_classes=150, num_queries=100),
        data=PaddedData(
            scale=(4 * side, side),
            crop=(side, side),
            train_shorts=tuple(ratio * side // 10 for ratio in _RATIOS),
            train_long=4 * side,
        ),
        steps=_ADE20K_STEPS,
        evaluate_every=5000,
        optimizer=_OPTIMIZER,
        schedule=PolySchedule(warmup_steps=0, power=0.9),
    )


def _mask_ap(value: float) -> tuple[tuple[str, float], ...]:
    return (("mask AP", value),)


def _quality(pq: float, things: float, stuff: float) -> tuple[tuple[str, float], ...]:
    return (("PQ", pq), ("PQ (things)", things), ("PQ (stuff)", stuff))


_INSTANCE = (
    _coco("t", "instance", _mask_ap(45.0)),
    _coco("s", "instance", _mask_ap(46.3)),
    _coco("b", "instance", _mask_ap(46.7)),
    _coco("b", "instance", _mask_ap(48.1), is_22k=True),
    _coco("l", "instance", _mask_ap(50.1), is_22k=True),
)

_PANOPTIC = (
    _coco("t", "panoptic", _quality(53.2, 59.3, 44.0)),
    _coco("s", "panoptic", _quality(54.6, 60.6, 45.7)),
    _coco("b", "panoptic", _quality(55.1, 61.0, 46.1)),
    _coco("b", "panoptic", _quality(56.4, 62.4, 47.3), is_22k=True),
    _coco("l", "panoptic", _quality(57.8, 64.2, 48.1), is_22k=True),
)

_SEMANTIC = (
    _ade20k("t", 512, 47.7, 49.6),
    _ade20k("s", 512, 51.3, 52.4),
    _ade20k("b", 640, 52.4, 53.7),
    _ade20k("b", 640, 53.9, 55.1, is_22k=True),
    _ade20k("l", 640, 56.1, 57.3, is_22k=True),
)

# 48.1 published, the only one with a Swin Transformer.
_ADE20K_PANOPTIC = Recipe(
    name="mask2former_swin_l_ade20k_panoptic_160k",
    source=_SOURCE,
    published=(("PQ", 48.1),),
    note=f"{_FROM_22K}; {_FP16}",
    model=_model("mask2former_swin_l", "panoptic", num_classes=150),
    data=PanopticData(
        root=_ADE20K_ROOT,
        train_split="train",
        val_split="val",
        scale=(2560, 640),
        size=640,
        train_shorts=tuple(ratio * 64 for ratio in _RATIOS),
        train_long=2560,
        photometric=True,
    ),
    steps=_ADE20K_STEPS,
    evaluate_every=5000,
    optimizer=_OPTIMIZER,
    schedule=PolySchedule(warmup_steps=0, power=0.9),
)

# Some hundred images of a user: --init FILE --new-classes, with a published model. Batch, length,
# drops, frozen stage and drop path for the reasons given with `mask_rcnn_swin_t_finetune`; jitter
# between a half and one and a half, as a tenth leaves little of a few objects.
_OWN = Path("data/own")


def _finetune(task: MaskTask, data: DataConfig) -> Recipe:
    model = published_model("mask2former_swin_t", drop_path=0.1, frozen_stages=1)
    assert isinstance(model, Mask2FormerConfig)
    return Recipe(
        name=f"mask2former_swin_t_{task}_finetune",
        source="not published; made for small sets",
        note="for --init FILE --new-classes, FILE being a published model",
        model=replace(model, task=task),
        data=data,
        batch_size=4,
        steps=3000,
        evaluate_every=300,
        optimizer=_OPTIMIZER,
        schedule=StepSchedule(warmup_steps=100, milestones=(0.75, 0.92)),
    )


_FINETUNES = (
    _finetune("instance", JitteredData(root=_OWN, jitter=(0.5, 1.5))),
    _finetune("semantic", PaddedData(root=_OWN)),
    _finetune("panoptic", PanopticData(root=_OWN, jitter=(0.5, 1.5))),
)

# Small enough for two CPU cores and ten minutes; learns drawn shapes of 128 px from random weights.
# Of all that was tried finer patches alone taught more in the same time, in single runs: shapes are
# small. Else the model is one whose step is short. One layer of the pixel decoder mixes the levels,
# three of the query decoder are one round of them. The learning rate is the same for all, as all is
# learned anew, and gradients are clipped at a norm beyond that of the published recipes, as they
# are far larger. Segments are whole masks: so short a training leaves queries that share a shape.
_DEMO = Recipe(
    name="mask2former_demo",
    source="not published; made for drawn shapes",
    model=Mask2FormerConfig(
        backbone=SwinConfig(
            patch_size=2,
            embed_dim=32,
            depths=(2, 2, 2, 2),
            num_heads=(2, 4, 8, 16),
            window_size=8,
        ),
        num_classes=7,
        task="panoptic",
        num_queries=20,
        channels=64,
        num_heads=4,
        encoder_layers=1,
        encoder_ffn_channels=128,
        decoder_layers=3,
        decoder_ffn_channels=256,
        num_points=1024,
        oversample_ratio=2.0,
        object_score=0.5,
        visible_share=0.5,
        panoptic_merging="masks",
    ),
    data=PanopticData(root=Path("demo/data"), scale=(128, 128), size=128, jitter=(1.0, 1.0)),
    batch_size=4,
    steps=700,
    optimizer=AdamWConfig(lr=2e-3, clip_norm=1.0),
    schedule=PolySchedule(warmup_steps=100, warmup_ratio=1e-3),
)

MASK2FORMER_RECIPES = (
    *_INSTANCE,
    *_PANOPTIC,
    *_SEMANTIC,
    _ADE20K_PANOPTIC,
    *_FINETUNES,
    _DEMO,
)
