"""Albumentations pipelines for detection, and the geometry that segmentation shares.

The one place where images are resized, for training, evaluation and prediction. Geometry is in
continuous px; albumentations' key points are centres of pixels, half a pixel less.
"""

import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import albumentations as A
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets

from swin_dense.datasets.samples import Size

# Carion et al. 2020 (DETR), section 4, as the released Swin configurations have it.
MULTI_SCALE_SIDES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)

Pipeline: TypeAlias = A.Compose

_GEOMETRIC_TARGETS = (Targets.IMAGE, Targets.MASK, Targets.KEYPOINTS)


def detection_train(
    *,
    long_side: int = 1333,
    short_sides: Sequence[int] = MULTI_SCALE_SIDES,
    crop_short_sides: Sequence[int] = (400, 500, 600),
    crop_range: tuple[int, int] = (384, 600),
    flip: float = 0.5,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of the detection recipes.

    Mirror with probability `flip`; then, each with probability 1/2, (i) resize the short side to
    one of `short_sides`, or (ii) resize it to one of `crop_short_sides`, cut out a random part with
    sides drawn from `crop_range`, and resize that as in (i). Resizing keeps the ratio and the long
    side within `long_side`. `short_sides=(800,), crop_short_sides=()` is mmdetection's 1x recipe.

    Args:
        long_side: px.
        short_sides: px, equally likely.
        crop_short_sides: px, equally likely; empty for no crops.
        crop_range: smallest and largest side of a crop, px; both inclusive.
        flip: probability in 0..1.
        extra: the user's own transforms, applied last, to the resized uint8 image and its objects.

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


def detection_eval(scale: tuple[int, int] = (1333, 800)) -> Pipeline:
    """The keep-ratio resize of evaluation and prediction, `scale` as in `keep_ratio_size`."""
    return compose([KeepRatioResize([scale])])


def compose(transforms: Sequence[A.BasicTransform | A.BaseCompose]) -> Pipeline:
    """Make a pipeline that moves boxes and polygons as key points and never drops one."""
    points = A.KeypointParams(format="xy", remove_invisible=False)
    return A.Compose(list(transforms), keypoint_params=points)


def seed_transforms(transforms: Pipeline, *key: int) -> None:
    """Make all that a pipeline draws next depend on `key` alone, numbers from 0 up.

    With a key of (seed, epoch, index) a sample is the same in whichever worker process, and however
    many there are, and after a run was resumed. All transforms draw from one source: with
    albumentations' own `set_random_seed` each gets a source of its own with the same seed, and a
    mirrored image would always take the same branch.
    """
    numpy_random = np.random.default_rng(key)
    transforms.set_random_state(numpy_random, random.Random(int(numpy_random.integers(2**63))))


def keep_ratio_size(size: tuple[int, int], scale: tuple[int, int]) -> Size:
    """The size an image gets when it is fitted into a scale, by the reference frameworks' rule.

    The largest factor that keeps the long side within the scale's larger number and the short side
    within its smaller; a side becomes `int(side * factor + 0.5)`, at least 1.

    Args:
        size: `(height, width)`, px.
        scale: `(long, short)`, px, in either order.

    Raises:
        ValueError: a number is below 1.
    """
    if min(*size, *scale) < 1:
        raise ValueError(f"size and scale must be at least 1 px, got {size} and {scale}")
    factor = min(max(scale) / max(size), min(scale) / min(size))
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return Size(height, width)


class KeepRatioResize(A.DualTransform):
    """Fit the image into one of several scales, equally likely (see `keep_ratio_size`).

    Images are resized bilinearly on uint8; label maps take the nearest pixel by the rule of the
    reference frameworks (`cv2.INTER_NEAREST`), bitmaps of objects by the centres of pixels, as
    their polygons would be.
    """

    _targets = _GEOMETRIC_TARGETS

    def __init__(self, scales: Sequence[tuple[int, int]], p: float = 1.0) -> None:
        super().__init__(p=p)
        if not scales or any(side < 1 for scale in scales for side in scale):
            raise ValueError(f"scales must be pairs of at least 1 px, got {list(scales)}")
        self.scales = tuple(scales)

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the scale; the size follows from it and the image's."""
        del data
        return {"size": keep_ratio_size(params["shape"][:2], self.py_random.choice(self.scales))}

    def apply(self, img: np.ndarray, *args: Any, size: Size, **params: Any) -> np.ndarray:
        """Resize an `(H, W, 3)` image."""
        return cv2.resize(img, (size.width, size.height), interpolation=cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: np.ndarray, *args: Any, size: Size, **params: Any) -> np.ndarray:
        """Resize an `(H, W)` label map."""
        return cv2.resize(mask, (size.width, size.height), interpolation=cv2.INTER_NEAREST)

    def apply_to_masks(
        self, masks: np.ndarray, *args: Any, size: Size, **params: Any
    ) -> np.ndarray:
        """Resize `(N, H, W)` bitmaps."""
        shape = (size.width, size.height)
        return np.stack(
            [cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST_EXACT) for mask in masks]
        )

    def apply_to_keypoints(
        self, keypoints: np.ndarray, *args: Any, size: Size, shape: tuple[int, ...], **params: Any
    ) -> np.ndarray:
        """Permutation points by the factor of each axis, which rounding lets differ."""
        factor = np.array([size.width / shape[1], size.height / shape[0]], dtype=np.float32)
        moved = keypoints.copy()
        moved[:, :2] = (keypoints[:, :2] + 0.5) * factor - 0.5
        return moved


class RandomCropInRange(A.DualTransform):
    """Cut out a random rectangle, each side drawn from a range of px.

    A side is drawn from `min(side, shortest)..min(side, longest)`, both inclusive, the place
    uniformly (the references' `absolute_range`). A crop without any object is taken as well.
    """

    _targets = _GEOMETRIC_TARGETS

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
        """Cut an image or a label map."""
        return img[rows, columns]

    def apply_to_keypoints(
        self, keypoints: np.ndarray, *args: Any, rows: slice, columns: slice, **params: Any
    ) -> np.ndarray:
        """Permutation points along; those outside stay outside."""
        moved = keypoints.copy()
        moved[:, :2] -= np.array([columns.start, rows.start], dtype=np.float32)
        return moved
