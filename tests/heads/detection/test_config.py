"""Configs of detectors: what is refused."""

import pytest

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import (
    BoxConfig,
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskConfig,
    MaskRCNNConfig,
    RPNConfig,
    TwoStageDetectorConfig,
    mask_config,
)

TINY = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"rpn": RPNConfig(positive_iou=0.2)}, "negative_iou must not be above rpn.positive_iou"),
        ({"box": BoxConfig(num_samples=0)}, "box.num_samples must be at least 1, got 0"),
        ({"rpn": RPNConfig(positive_fraction=1.5)}, r"rpn.positive_fraction must be in 0..1"),
        ({"rpn": RPNConfig(anchor_ratios=())}, "anchor_ratios must be positive"),
    ],
)
def test_configs_with_impossible_numbers_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoStageDetectorConfig(backbone=TINY, **changed)


def test_a_mask_head_without_bins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask\.roi_size must be at least 1, got 0"):
        MaskConfig(roi_size=0)


def test_the_mask_head_is_all_in_which_configs_with_and_without_masks_differ() -> None:
    mask = MaskConfig(channels=8)
    for config in (MaskRCNNConfig, CascadeMaskRCNNConfig):
        assert mask_config(config(backbone=TINY, mask=mask)) == mask
    for with_masks, without in (
        (MaskRCNNConfig, FasterRCNNConfig),
        (CascadeMaskRCNNConfig, CascadeRCNNConfig),
    ):
        plain = without(backbone=TINY)
        assert mask_config(plain) is None
        assert vars(with_masks(backbone=TINY)) == vars(plain) | {"mask": MaskConfig()}


def test_stages_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 stage_ious, 3 stage_delta_stds"):
        CascadeMaskRCNNConfig(backbone=TINY, stage_ious=(0.5, 0.6))
