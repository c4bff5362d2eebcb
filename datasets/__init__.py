"""Data sets, their transforms, samplers and metrics; no model is known here.

Each name is imported when it is first asked for: flags need none of them.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Without it albumentations asks the network for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from swin_dense.datasets.categories import COCO_CATEGORIES, ade20k_classes, read_classes
    from swin_dense.datasets.features.feature_store import FeatureStore
    from swin_dense.datasets.formats.coco import CocoDetection
    from swin_dense.datasets.formats.segmentation.ade20k import Ade20k
    from swin_dense.datasets.images import init_worker, read_image
    from swin_dense.datasets.masks import bitmaps_from_runs
    from swin_dense.datasets.metrics.coco_eval import CocoEvaluator
    from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator
    from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler, EvaluationBatchSampler
    from swin_dense.datasets.samples import collate_samples
    from swin_dense.datasets.shapes import write_shapes
    from swin_dense.datasets.transforms.detection import detection_eval, detection_train
    from swin_dense.datasets.transforms.resizing import keep_ratio_size, multi_scale_views
    from swin_dense.datasets.transforms.segmentation import segmentation_eval, segmentation_train

__all__ = [
    "COCO_CATEGORIES",
    "Ade20k",
    "AspectRatioGroupedBatchSampler",
    "CocoDetection",
    "CocoEvaluator",
    "EvaluationBatchSampler",
    "FeatureStore",
    "SemanticEvaluator",
    "ade20k_classes",
    "bitmaps_from_runs",
    "collate_samples",
    "detection_eval",
    "detection_train",
    "init_worker",
    "keep_ratio_size",
    "multi_scale_views",
    "read_classes",
    "read_image",
    "segmentation_eval",
    "segmentation_train",
    "write_shapes",
]

_PLACES = {
    "COCO_CATEGORIES": "categories",
    "Ade20k": "formats.segmentation.ade20k",
    "AspectRatioGroupedBatchSampler": "samplers",
    "CocoDetection": "formats.coco",
    "CocoEvaluator": "metrics.coco_eval",
    "EvaluationBatchSampler": "samplers",
    "FeatureStore": "features.feature_store",
    "SemanticEvaluator": "metrics.semantic_eval",
    "ade20k_classes": "categories",
    "bitmaps_from_runs": "masks",
    "collate_samples": "samples",
    "detection_eval": "transforms.detection",
    "detection_train": "transforms.detection",
    "init_worker": "images",
    "keep_ratio_size": "transforms.resizing",
    "multi_scale_views": "transforms.resizing",
    "read_classes": "categories",
    "read_image": "images",
    "segmentation_eval": "transforms.segmentation",
    "segmentation_train": "transforms.segmentation",
    "write_shapes": "shapes",
}


def __getattr__(name: str) -> Any:
    """Import a name's module at its first use (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'swin_dense.datasets' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"swin_dense.datasets.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
