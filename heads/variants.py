"""Whole models by the names of their variants; nothing of torch is imported for them."""

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads.detection.config import (
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskRCNNConfig,
    TwoStageDetectorConfig,
)
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.segmentation.config import UPerNetConfig

_DETECTORS: dict[str, type[TwoStageDetectorConfig]] = {
    "mask_rcnn": MaskRCNNConfig,
    "cascade_mask_rcnn": CascadeMaskRCNNConfig,
    "faster_rcnn": FasterRCNNConfig,
    "cascade_rcnn": CascadeRCNNConfig,
}

# Liu et al. 2021, Section 4.2; numbers of the heads are the defaults of their configs.
MODEL_VARIANTS: dict[str, ModelConfig] = {
    **{
        f"{name}_swin_{size}": config(backbone=SWIN_VARIANTS[f"swin_{size}"])
        for name, config in _DETECTORS.items()
        for size in "tsbl"
    },
    **{
        f"upernet_{name}": UPerNetConfig(backbone=backbone)
        for name, backbone in SWIN_VARIANTS.items()
    },
}


def variants_of(kind: type[ModelConfig]) -> dict[str, ModelConfig]:
    """Configs of one class by the names of the variants."""
    return {name: config for name, config in MODEL_VARIANTS.items() if type(config) is kind}
