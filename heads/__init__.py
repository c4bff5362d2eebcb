"""Whole models on a pyramid of features: Mask R-CNN and Cascade Mask R-CNN."""

from swin_dense.heads.cascade import CascadeMaskRCNN, CascadeMaskRCNNConfig
from swin_dense.heads.mask_rcnn import MaskRCNN, MaskRCNNConfig
from swin_dense.heads.models import MODEL_VARIANTS, create_model

__all__ = [
    "MODEL_VARIANTS",
    "CascadeMaskRCNN",
    "CascadeMaskRCNNConfig",
    "MaskRCNN",
    "MaskRCNNConfig",
    "create_model",
]
