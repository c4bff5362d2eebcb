"""OpenMMLab's training pipelines for `benchmarks/data.py`, as its Swin configurations have them.

Needs mmdet, mmseg, mmengine, and mmcv or mmcv-lite. mmdet imports compiled operators of mmcv that
no transform used here calls; mmcv-lite has none, and stand-ins take their place.
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def _stand_in(name: str) -> ModuleType:
    """A module in which every name is a class without content."""
    module = ModuleType(name)
    module.__path__ = []  # a package

    def find(attribute: str) -> type:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return type(attribute, (), {})

    module.__getattr__ = find  # type: ignore[method-assign]
    sys.modules[name] = module
    return module


if find_spec("mmcv._ext") is None:
    _stand_in("mmcv.ops")
    _stand_in("mmcv.ops.roi_align")

_SCALES = [(short, 1333) for short in range(480, 801, 32)]


def _coco(folder: Path, resizes: list[dict[str, Any]]) -> Any:
    import mmdet.datasets
    import mmdet.datasets.transforms  # registers itself
    from mmengine.registry import DefaultScope

    DefaultScope.get_instance("detection", scope_name="mmdet")
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
        {"type": "RandomFlip", "prob": 0.5},
        *resizes,
        {"type": "PackDetInputs"},
    ]
    return mmdet.datasets.CocoDataset(
        data_root=str(folder),
        ann_file="annotations/instances_train2017.json",
        data_prefix={"img": "train2017/"},
        filter_cfg={"filter_empty_gt": True, "min_size": 32},
        pipeline=pipeline,
    )


def _detection_1x(folder: Path) -> Any:
    return _coco(folder, [{"type": "Resize", "scale": (1333, 800), "keep_ratio": True}])


def _detection_3x(folder: Path) -> Any:
    def resize(scales: list[tuple[int, int]]) -> dict[str, Any]:
        return {"type": "RandomChoiceResize", "scales": scales, "keep_ratio": True}

    crop = {
        "type": "RandomCrop",
        "crop_type": "absolute_range",
        "crop_size": (384, 600),
        "allow_negative_crop": True,
    }
    first = resize([(400, 1333), (500, 1333), (600, 1333)])
    choices = [[resize(_SCALES)], [first, crop, resize(_SCALES)]]
    return _coco(folder, [{"type": "RandomChoice", "transforms": choices}])


def _ade20k(folder: Path) -> Any:
    import mmseg.datasets
    import mmseg.datasets.transforms  # registers itself
    from mmengine.registry import DefaultScope

    DefaultScope.get_instance("segmentation", scope_name="mmseg")
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "reduce_zero_label": True},
        {
            "type": "RandomResize",
            "scale": (2048, 512),
            "ratio_range": (0.5, 2.0),
            "keep_ratio": True,
        },
        {"type": "RandomCrop", "crop_size": (512, 512), "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    return mmseg.datasets.ADE20KDataset(
        data_root=str(folder),
        data_prefix={"img_path": "images/training", "seg_map_path": "annotations/training"},
        pipeline=pipeline,
    )


DATASETS: dict[str, Callable[[Path], Any]] = {
    "detection_1x": _detection_1x,
    "detection_3x": _detection_3x,
    "ade20k": _ade20k,
}
