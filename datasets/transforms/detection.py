"""The detection pipelines: augmentation for training, the resize of evaluation.

Their numbers are the recipes'.
"""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np

from swin_dense.datasets.transforms.large_scale_jitter import LargeScaleJitter
from swin_dense.datasets.transforms.pipeline import GEOMETRIC_TARGETS, Pipeline, compose
from swin_dense.datasets.transforms.resizing import KeepRatioResize


def detection_train(
    *,
    long_side: int,
    short_sides: Sequence[int],
    crop_short_sides: Sequence[int],
    crop_range: tuple[int, int],
    flip: float,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of the detection recipes (Carion et al. 2020, DETR, section 4).

    Flip with probability `flip`; then, each with probability 1/2, (i) resize the short side to one
    of `short_sides`, or (ii) resize it to one of `crop_short_sides`, crop a random part with sides
    drawn from `crop_range`, and resize that as in (i). Resizing keeps the ratio and the long side
    within `long_side`. `short_sides=(800,), crop_short_sides=()` is mmdetection's 1x recipe.

    Args:
        long_side: px.
        short_sides: px, equally likely.
        crop_short_sides: px, equally likely; empty for no crops.
        crop_range: smallest and largest side of a crop, px; both inclusive.
        flip: probability of the horizontal flip, 0..1.
        extra: further transforms, applied last, to the resized uint8 image and its objects.

    Raises:
        ValueError: a side is not a positive number of px, or `crop_range` falls.
    """
    resize = KeepRatioResize([(long_side, side) for side in short_sides])
    pipeline: list[A.BasicTransform | A.BaseCompose] = [A.HorizontalFlip(p=flip)]
    if crop_short_sides:
        enlarge = KeepRatioResize([(long_side, side) for side in crop_short_sides])
        crop = RandomCropInRange(*crop_range)
        resize_crop = KeepRatioResize([(long_side, side) for side in short_sides])
        pipeline.append(A.OneOf([resize, A.Sequential([enlarge, crop, resize_crop], p=1)], p=1))
    else:
        pipeline.append(resize)
    return compose([*pipeline, *extra])


def detection_jitter(
    *,
    size: int,
    ratios: tuple[float, float],
    flip: float,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of Mask2Former's COCO recipes: mirror image and large-scale jitter.

    Args:
        size: side of the square images, px.
        ratios: smallest and largest factor, as in `LargeScaleJitter`.
        flip: probability of the horizontal flip, 0..1.
        extra: further transforms, applied last, to the uint8 image and its objects.
    """
    return compose([A.HorizontalFlip(p=flip), LargeScaleJitter(size, ratios), *extra])


def detection_eval(scale: tuple[int, int]) -> Pipeline:
    """The keep-ratio resize of evaluation and prediction; `scale` is `(long, short)`, px."""
    return compose([KeepRatioResize([scale])])


class RandomCropInRange(A.DualTransform):
    """Crop a random rectangle, each side drawn from a range of px.

    A side is drawn from `min(side, shortest)..min(side, longest)`, both inclusive, the place
    uniformly (the references' `absolute_range`). A crop without any object is taken as well.
    """

    _targets = GEOMETRIC_TARGETS

    def __init__(self, shortest: int, longest: int, p: float = 1.0) -> None:
        super().__init__(p=p)
        if not 1 <= shortest <= longest:
            raise ValueError(f"a crop's sides must rise from 1 px, got {shortest} to {longest}")
        self.shortest, self.longest = shortest, longest

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw size and place of the crop."""
        del data
        height, width = (
            self.py_random.randint(min(side, self.shortest), min(side, self.longest))
            for side in params["shape"][:2]
        )
        top = self.py_random.randint(0, params["shape"][0] - height)
        left = self.py_random.randint(0, params["shape"][1] - width)
        return {"rows": slice(top, top + height), "columns": slice(left, left + width)}

    def apply(
        self, img: np.ndarray, *args: Any, rows: slice, columns: slice, **params: Any
    ) -> np.ndarray:
        """Crop an image or a label map."""
        return img[rows, columns]

    def apply_to_keypoints(
        self, keypoints: np.ndarray, *args: Any, rows: slice, columns: slice, **params: Any
    ) -> np.ndarray:
        """Shift the points; those outside the crop stay outside."""
        moved = keypoints.copy()
        moved[:, :2] -= np.array([columns.start, rows.start], dtype=np.float32)
        return moved
