"""Whole models on a pyramid of features: detectors with and without masks, and UPerNet."""

from swin_dense.heads.checkpoints import from_checkpoint, save_model
from swin_dense.heads.detection.cascade import (
    CascadeMaskRCNN,
    CascadeMaskRCNNConfig,
    CascadeRCNN,
    CascadeRCNNConfig,
)
from swin_dense.heads.detection.mask_rcnn import (
    FasterRCNN,
    FasterRCNNConfig,
    MaskRCNN,
    MaskRCNNConfig,
)
from swin_dense.heads.models import MODEL_SPECS, MODEL_VARIANTS, ModelSpec, add_model, create_model
from swin_dense.heads.pretrained import from_pretrained, save_pretrained
from swin_dense.heads.segmentation.upernet import UPerNet, UPerNetConfig
from swin_dense.heads.whole_model import Model, ModelConfig

__all__ = [
    "MODEL_SPECS",
    "MODEL_VARIANTS",
    "CascadeMaskRCNN",
    "CascadeMaskRCNNConfig",
    "CascadeRCNN",
    "CascadeRCNNConfig",
    "FasterRCNN",
    "FasterRCNNConfig",
    "MaskRCNN",
    "MaskRCNNConfig",
    "Model",
    "ModelConfig",
    "ModelSpec",
    "UPerNet",
    "UPerNetConfig",
    "add_model",
    "create_model",
    "from_checkpoint",
    "from_pretrained",
    "save_model",
    "save_pretrained",
]
