"""Configs of Mask2Former: released numbers, refused ones."""

import pytest

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads import MODEL_VARIANTS
from swin_dense.heads.mask2former.config import Mask2FormerConfig, released_stuff_classes


def test_variants_have_the_published_backbones_and_queries() -> None:
    windows = {size: MODEL_VARIANTS[f"mask2former_swin_{size}"].backbone for size in "tsbl"}
    assert [config.window_size for config in windows.values()] == [7, 7, 12, 12]
    assert MODEL_VARIANTS["mask2former_swin_l"].num_queries == 200
    assert MODEL_VARIANTS["mask2former_swin_b"].num_queries == 100


def test_stuff_of_released_panoptic_models() -> None:
    assert released_stuff_classes(133) == tuple(range(80, 133))
    assert len(released_stuff_classes(150)) == 50
    assert released_stuff_classes(19) == tuple(range(11))
    assert released_stuff_classes(80) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"task": "detection"},
            "task must be one of instance, semantic, panoptic, got 'detection'",
        ),
        (
            {"panoptic_merging": "boxes"},
            "panoptic_merging must be one of pixels, masks, got 'boxes'",
        ),
        ({"channels": 48}, "channels must be a multiple of 32, got 48"),
        ({"num_heads": 7}, "channels must be divisible by num_heads, got 256 and 7"),
        ({"num_queries": 0}, "num_queries must be at least 1, got 0"),
        ({"query_channels": 36}, "query_channels must be divisible by num_heads, got 36 and 8"),
        ({"query_channels": 6, "num_heads": 2}, "query_channels must be a multiple of 4, got 6"),
        ({"importance_ratio": 1.5}, r"importance_ratio must be in 0\.\.1, got 1\.5"),
        ({"oversample_ratio": 0.5}, r"oversample_ratio must be at least 1, got 0\.5"),
    ],
)
def test_numbers_that_cannot_be_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_t"], **values)
