"""Whole models on a pyramid of features: Mask R-CNN, Cascade Mask R-CNN, and UPerNet."""

from swin_dense.heads.cascade import CascadeMaskRCNN, CascadeMaskRCNNConfig
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.mask_rcnn import MaskRCNN, MaskRCNNConfig
from swin_dense.heads.models import MODEL_VARIANTS, create_model
from swin_dense.heads.segmentor import Segmentor, SegmentorConfig

__all__ = [
    "MODEL_VARIANTS",
    "CascadeMaskRCNN",
    "CascadeMaskRCNNConfig",
    "MaskRCNN",
    "MaskRCNNConfig",
    "Segmentor",
    "SegmentorConfig",
    "create_model",
    "from_checkpoint",
]
