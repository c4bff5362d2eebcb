"""Swin Transformer detection and segmentation on today's PyTorch.

`import swin_dense` costs nothing: each name is imported when it is first asked for, the configs
without torch; so are `heads`, `datasets` and `tools`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swin_dense.backbone import SwinMLP, SwinTransformer
    from swin_dense.checkpoints.loading import LoadReport, load_weights
    from swin_dense.configs import (
        BACKBONE_KINDS,
        BACKBONE_VARIANTS,
        SWIN_MLP_VARIANTS,
        SWIN_VARIANTS,
        BackboneConfig,
        SwinConfig,
        SwinMLPConfig,
        TimmConfig,
    )
    from swin_dense.creation import create_backbone
    from swin_dense.padding import ImageBatch, SizeGroup, batch_images
    from swin_dense.protocol import Backbone, PackingBackbone
    from swin_dense.pyramids import Pyramids

__version__ = "0.1.0"

__all__ = [
    "BACKBONE_KINDS",
    "BACKBONE_VARIANTS",
    "SWIN_MLP_VARIANTS",
    "SWIN_VARIANTS",
    "Backbone",
    "BackboneConfig",
    "ImageBatch",
    "LoadReport",
    "PackingBackbone",
    "Pyramids",
    "SizeGroup",
    "SwinConfig",
    "SwinMLP",
    "SwinMLPConfig",
    "SwinTransformer",
    "TimmConfig",
    "batch_images",
    "create_backbone",
    "datasets",
    "heads",
    "load_weights",
    "tools",
]

_SUBPACKAGES = ("adapters", "checkpoints", "datasets", "heads", "tools")
_PLACES = {
    "BACKBONE_KINDS": "configs",
    "BACKBONE_VARIANTS": "configs",
    "SWIN_MLP_VARIANTS": "configs",
    "SWIN_VARIANTS": "configs",
    "Backbone": "protocol",
    "BackboneConfig": "configs",
    "ImageBatch": "padding",
    "LoadReport": "checkpoints.loading",
    "PackingBackbone": "protocol",
    "Pyramids": "pyramids",
    "SizeGroup": "padding",
    "SwinConfig": "configs",
    "SwinMLP": "backbone",
    "SwinMLPConfig": "configs",
    "SwinTransformer": "backbone",
    "TimmConfig": "configs",
    "batch_images": "padding",
    "create_backbone": "creation",
    "load_weights": "checkpoints.loading",
}


def __getattr__(name: str) -> Any:
    """Import a name's module, or a subpackage, at its first use (PEP 562)."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"swin_dense.{name}")
    if name in _PLACES:
        value = getattr(importlib.import_module(f"swin_dense.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'swin_dense' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
