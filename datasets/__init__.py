"""Data sets, their transforms, samplers and metrics; no model is known here."""

import os

# Without it albumentations asks the network for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from swin_dense.datasets.categories import COCO_CATEGORIES, ade20k_classes, read_classes
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
