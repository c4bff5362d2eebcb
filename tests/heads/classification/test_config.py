"""Configs of classifiers, and the published evaluation protocols."""

from dataclasses import replace

import pytest

from swin_dense.configs import BACKBONE_VARIANTS, SWIN_VARIANTS, TimmConfig
from swin_dense.heads import MODEL_VARIANTS
from swin_dense.heads.classification.config import (
    PUBLISHERS,
    ClassifierConfig,
    ViewConfig,
    published_view,
    released_classifier,
)

# resize, crop, keep_ratio, as each publisher's code has it
_VIEWS = {
    ("microsoft", "swin_t"): (256, 224, True),
    ("microsoft", "swin_b_w12"): (384, 384, False),
    ("timm", "swin_s"): (248, 224, True),
    ("timm", "swin_l_w12"): (384, 384, True),
    ("torchvision", "swin_t"): (232, 224, True),
    ("torchvision", "swin_s"): (246, 224, True),
    ("torchvision", "swin_b"): (238, 224, True),
    ("huggingface", "swin_t"): (224, 224, False),
    ("huggingface", "swin_b_w12"): (384, 384, False),
}


@pytest.mark.parametrize(("publisher", "variant"), _VIEWS)
def test_views_are_the_publishers(publisher, variant) -> None:
    resize, crop, keep_ratio = _VIEWS[publisher, variant]
    view = published_view(publisher, SWIN_VARIANTS[variant])
    assert view == ViewConfig(resize=resize, crop=crop, keep_ratio=keep_ratio)


def test_a_window_of_8_is_of_256_px() -> None:
    backbone = replace(SWIN_VARIANTS["swin_t"], window_size=8)
    assert published_view("microsoft", backbone) == ViewConfig(resize=292, crop=256)


def test_other_backbones_have_224_px() -> None:
    for publisher in PUBLISHERS:
        assert published_view(publisher, TimmConfig(name="resnet18")).crop == 224


def test_the_layout_tells_the_publisher() -> None:
    backbone = SWIN_VARIANTS["swin_t"]
    resizes = {
        layout: released_classifier(backbone, layout).view.resize
        for layout in ("microsoft", "ddp", "timm", "torchvision", "huggingface_v4")
    }
    assert list(resizes.values()) == [256, 256, 248, 232, 224]


def test_variants_are_as_published_and_give_the_last_stage_alone() -> None:
    variants = {name: config for name, config in MODEL_VARIANTS.items() if "classifier" in name}
    assert list(variants) == [f"classifier_{name}" for name in BACKBONE_VARIANTS]
    for config in variants.values():
        assert config.num_classes == 1000
        assert config.backbone.out_indices == (3,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1\.0"),
    ],
)
def test_values_that_cannot_be_are_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(backbone=SWIN_VARIANTS["swin_t"], **changes)
    with pytest.raises(ValueError, match=r"crop must be in 1\.\.resize, got 300 and a resize to 2"):
        ViewConfig(resize=256, crop=300)
