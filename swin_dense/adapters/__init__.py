"""Other libraries: our backbone as they want one, and their backbones under our heads.

Nothing of them is imported before it is asked for. `import swin_dense.adapters.timm_models`
registers our models with timm.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swin_dense.adapters.torchvision_models import torchvision_backbone
    from swin_dense.adapters.transformers_models import (
        SwinDenseBackbone,
        SwinDenseConfig,
        register_with_transformers,
    )

__all__ = [
    "SwinDenseBackbone",
    "SwinDenseConfig",
    "register_with_transformers",
    "torchvision_backbone",
]

_PLACES = {
    "SwinDenseBackbone": "transformers_models",
    "SwinDenseConfig": "transformers_models",
    "register_with_transformers": "transformers_models",
    "torchvision_backbone": "torchvision_models",
}


def __getattr__(name: str) -> Any:
    """Import a name's module at its first use (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'swin_dense.adapters' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"swin_dense.adapters.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
