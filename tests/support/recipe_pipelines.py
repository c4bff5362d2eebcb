"""The training pipelines with the published recipes' numbers, any of which a test may change."""

from typing import Any

from swin_dense.datasets.transforms.detection import detection_train
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.datasets.transforms.segmentation import segmentation_train
from swin_dense.tools.recipes.table import find_recipe


def recipe_detection_train(**changes: Any) -> Pipeline:
    """`detection_train` of the published recipes; `changes` are arguments of it."""
    data: Any = find_recipe("mask_rcnn_swin_t_coco_3x").data
    published = {
        "long_side": data.train_long,
        "short_sides": data.train_shorts,
        "crop_short_sides": data.crop_shorts,
        "crop_range": data.crop_range,
        "flip": data.flip,
    }
    return detection_train(**(published | changes))


def recipe_segmentation_train(**changes: Any) -> Pipeline:
    """`segmentation_train` of the published recipes; `changes` are arguments of it."""
    data: Any = find_recipe("upernet_swin_t_ade20k_160k").data
    published = {
        "scale": data.scale,
        "ratios": data.ratios,
        "crop": data.crop,
        "cat_max_ratio": data.cat_max_ratio,
        "flip": data.flip,
        "photometric": data.photometric,
    }
    return segmentation_train(**(published | changes))
