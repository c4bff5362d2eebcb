"""Swin Transformer detection and segmentation on today's PyTorch.

`import swin_dense` costs torch and nothing else: `heads`, `datasets` and `tools` are imported when
they are first asked for.
"""

import importlib
from types import ModuleType

from swin_dense.adapters.timm_backbone import TimmConfig
from swin_dense.backbone import SWIN_VARIANTS, SwinConfig, SwinTransformer
from swin_dense.checkpoints.loading import LoadReport, load_weights
from swin_dense.creation import BACKBONE_KINDS, create_backbone
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.protocol import Backbone, BackboneConfig

__version__ = "0.1.0"

__all__ = [
    "BACKBONE_KINDS",
    "SWIN_VARIANTS",
    "Backbone",
    "BackboneConfig",
    "ImageBatch",
    "LoadReport",
    "SwinConfig",
    "SwinTransformer",
    "TimmConfig",
    "batch_images",
    "create_backbone",
    "datasets",
    "heads",
    "load_weights",
    "tools",
]

_SUBPACKAGES = ("datasets", "heads", "tools")


def __getattr__(name: str) -> ModuleType:
    """Import a subpackage at its first use (PEP 562)."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"swin_dense.{name}")
    raise AttributeError(f"module 'swin_dense' has no attribute {name!r}")
