"""Whole models on a backbone: detectors with and without masks, UPerNet, U-Net, Mask2Former,
classifiers.

Each name is imported when it is first asked for, the configs and their table without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swin_dense.heads.checkpoints import from_checkpoint, save_model
    from swin_dense.heads.classification.classifier import Classifier
    from swin_dense.heads.classification.config import ClassifierConfig, ViewConfig
    from swin_dense.heads.detection.cascade import CascadeMaskRCNN, CascadeRCNN
    from swin_dense.heads.detection.config import (
        CascadeMaskRCNNConfig,
        CascadeRCNNConfig,
        FasterRCNNConfig,
        MaskRCNNConfig,
    )
    from swin_dense.heads.detection.mask_rcnn import FasterRCNN, MaskRCNN
    from swin_dense.heads.mask2former.config import Mask2FormerConfig
    from swin_dense.heads.mask2former.model import Mask2Former
    from swin_dense.heads.model_config import ModelConfig
    from swin_dense.heads.models import MODEL_SPECS, ModelSpec, add_model, create_model
    from swin_dense.heads.pretrained import from_pretrained, push_to_hub, save_pretrained
    from swin_dense.heads.segmentation.unet.config import UNetConfig
    from swin_dense.heads.segmentation.unet.unet import UNet
    from swin_dense.heads.segmentation.uper.config import UPerNetConfig
    from swin_dense.heads.segmentation.uper.upernet import UPerNet
    from swin_dense.heads.variants import MODEL_VARIANTS
    from swin_dense.heads.whole_model import Model

__all__ = [
    "MODEL_SPECS",
    "MODEL_VARIANTS",
    "CascadeMaskRCNN",
    "CascadeMaskRCNNConfig",
    "CascadeRCNN",
    "CascadeRCNNConfig",
    "Classifier",
    "ClassifierConfig",
    "FasterRCNN",
    "FasterRCNNConfig",
    "Mask2Former",
    "Mask2FormerConfig",
    "MaskRCNN",
    "MaskRCNNConfig",
    "Model",
    "ModelConfig",
    "ModelSpec",
    "UNet",
    "UNetConfig",
    "UPerNet",
    "UPerNetConfig",
    "ViewConfig",
    "add_model",
    "create_model",
    "from_checkpoint",
    "from_pretrained",
    "push_to_hub",
    "save_model",
    "save_pretrained",
]

_PLACES = {
    "MODEL_SPECS": "models",
    "MODEL_VARIANTS": "variants",
    "CascadeMaskRCNN": "detection.cascade",
    "CascadeMaskRCNNConfig": "detection.config",
    "CascadeRCNN": "detection.cascade",
    "CascadeRCNNConfig": "detection.config",
    "Classifier": "classification.classifier",
    "ClassifierConfig": "classification.config",
    "FasterRCNN": "detection.mask_rcnn",
    "FasterRCNNConfig": "detection.config",
    "MaskRCNN": "detection.mask_rcnn",
    "MaskRCNNConfig": "detection.config",
    "Mask2Former": "mask2former.model",
    "Mask2FormerConfig": "mask2former.config",
    "Model": "whole_model",
    "ModelConfig": "model_config",
    "ModelSpec": "models",
    "UNet": "segmentation.unet.unet",
    "UNetConfig": "segmentation.unet.config",
    "UPerNet": "segmentation.uper.upernet",
    "UPerNetConfig": "segmentation.uper.config",
    "ViewConfig": "classification.config",
    "add_model": "models",
    "create_model": "models",
    "from_checkpoint": "checkpoints",
    "from_pretrained": "pretrained",
    "push_to_hub": "pretrained",
    "save_model": "checkpoints",
    "save_pretrained": "pretrained",
}


def __getattr__(name: str) -> Any:
    """Import a name's module at its first use (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'swin_dense.heads' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"swin_dense.heads.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
