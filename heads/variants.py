"""Whole models by the names of their variants; nothing of torch is imported for them."""

from swin_dense.configs import BACKBONE_VARIANTS, SWIN_VARIANTS
from swin_dense.heads.classification.config import released_classifier
from swin_dense.heads.detection.config import (
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskRCNNConfig,
    TwoStageDetectorConfig,
)
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.segmentation.unet.config import UNetConfig
from swin_dense.heads.segmentation.uper.config import UPerNetConfig

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
    **{f"unet_{name}": UNetConfig(backbone=backbone) for name, backbone in SWIN_VARIANTS.items()},
    # Cheng et al. 2022, Table 1 and the released configurations: B and L have windows of 12, and L
    # has more queries (its models for semantic segmentation 100).
    "mask2former_swin_t": Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_t"]),
    "mask2former_swin_s": Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_s"]),
    "mask2former_swin_b": Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_b_w12"]),
    "mask2former_swin_l": Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_l_w12"], num_queries=200),
    **{
        f"classifier_{name}": released_classifier(backbone, "microsoft")
        for name, backbone in BACKBONE_VARIANTS.items()
    },
}


def variants_of(kind: type[ModelConfig]) -> dict[str, ModelConfig]:
    """Configs of one class by the names of the variants."""
    return {name: config for name, config in MODEL_VARIANTS.items() if type(config) is kind}
