"""The segmentation pipelines: augmentation for training, the resize of evaluation.

Their numbers are the recipes'. A crop that is smaller than asked for stays so: normalised pixels
are padded with 0, which no uint8 value stands for, so padding belongs to the batch. There images
get zeros and label maps 255.
"""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets

from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.datasets.transforms.resizing import KeepRatioResizeImage, RandomRatioResize

_LEVELS = np.arange(256, dtype=np.uint8)  # the values of a pixel


def segmentation_train(
    *,
    scale: tuple[int, int],
    ratios: tuple[float, float],
    crop: tuple[int, int],
    cat_max_ratio: float,
    flip: float,
    photometric: bool,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of the ADE20K recipes (mmsegmentation's, as released).

    Fit into `scale` times a random ratio, crop, flip, distort colours.

    Args:
        scale: `(long, short)`, px, as in `keep_ratio_size`.
        ratios: smallest and largest factor on `scale`.
        crop: `(height, width)`, px; an image that is smaller stays as it is.
        cat_max_ratio: largest share of a crop's labelled pixels that one class may have, in
            (0, 1]; after 10 tries any crop is taken.
        flip: probability of the horizontal flip, 0..1.
        photometric: distort colours.
        extra: further transforms, applied last, to the uint8 image and its label map.

    Raises:
        ValueError: a size, ratio or `cat_max_ratio` is out of range.
    """
    pipeline: list[A.BasicTransform] = [
        RandomRatioResize(scale, ratios),
        RandomCropOfClasses(crop, cat_max_ratio=cat_max_ratio),
        A.HorizontalFlip(p=flip),
    ]
    if photometric:
        pipeline.append(PhotometricDistortion())
    return A.Compose([*pipeline, *extra])


def segmentation_eval(scale: tuple[int, int]) -> Pipeline:
    """The keep-ratio resize of the image in evaluation; label maps keep their size.

    Args:
        scale: `(long, short)`, px, as in `keep_ratio_size`.
    """
    return A.Compose([KeepRatioResizeImage([scale])])


class RandomCropOfClasses(A.DualTransform):
    """Crop a rectangle in which no class reaches `cat_max_ratio` of the labelled pixels.

    Ten places are tried; if none will do, an eleventh is taken as it is (mmsegmentation's
    `RandomCrop`). A place with a single class does not do either; with `cat_max_ratio` 1 the first
    place is taken.
    """

    _targets = (Targets.IMAGE, Targets.MASK)
    num_tries = 10

    def __init__(self, size: tuple[int, int], *, cat_max_ratio: float, p: float = 1.0) -> None:
        super().__init__(p=p)
        if min(size) < 1:
            raise ValueError(f"size of a crop must be at least 1 px, got {size}")
        if not 0 < cat_max_ratio <= 1:
            raise ValueError(f"cat_max_ratio must be in (0, 1], got {cat_max_ratio}")
        self.size, self.cat_max_ratio = size, cat_max_ratio

    @property
    def targets_as_params(self) -> list[str]:
        """The label map decides about the place."""
        return ["mask"]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw places until one will do."""
        place = self._draw(params["shape"][:2])
        for _ in range(self.num_tries if self.cat_max_ratio < 1 else 0):
            if self._is_balanced(data["mask"][place]):
                break
            place = self._draw(params["shape"][:2])
        return {"place": place}

    def apply(self, img: np.ndarray, *args: Any, place: Any, **params: Any) -> np.ndarray:
        """Crop an image or a label map."""
        return img[place]

    def _draw(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        starts = [
            self.py_random.randint(0, max(side - wanted, 0))
            for side, wanted in zip(shape, self.size, strict=True)
        ]
        rows, columns = (
            slice(start, start + wanted) for start, wanted in zip(starts, self.size, strict=True)
        )
        return rows, columns

    def _is_balanced(self, labels: np.ndarray) -> bool:
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256])[:IGNORED_LABEL]
        present = counts[counts > 0]
        return len(present) > 1 and present.max() / present.sum() < self.cat_max_ratio


class PhotometricDistortion(A.ImageOnlyTransform):
    """Change brightness, contrast, saturation and hue, each with probability 1/2.

    Liu et al. 2016 (SSD), section 3.6, as mmsegmentation has it, on uint8: brightness adds up to 32
    either way; contrast multiplies by 0.5 to 1.5, before or after the other two with equal chance;
    saturation multiplies by 0.5 to 1.5; hue turns by up to 18 of OpenCV's 180 steps, after the
    image was RGB in between.
    """

    def __init__(
        self,
        *,
        brightness: float = 32,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: int = 18,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue

    def get_params(self) -> dict[str, Any]:
        """Draw the changes; one that is left out has no effect (0, or a factor of 1)."""
        draw = self.py_random

        def chosen() -> bool:
            return draw.random() < 0.5

        return {
            "shift": draw.uniform(-self.brightness, self.brightness) if chosen() else 0.0,
            "contrast": draw.uniform(*self.contrast) if chosen() else 1.0,
            "contrast_first": chosen(),
            "saturation": draw.uniform(*self.saturation) if chosen() else 1.0,
            "turn": draw.randrange(-self.hue, self.hue) if chosen() and self.hue else 0,
        }

    def apply(
        self,
        img: np.ndarray,
        *args: Any,
        shift: float,
        contrast: float,
        contrast_first: bool,
        saturation: float,
        turn: int,
        **params: Any,
    ) -> np.ndarray:
        """Distort an `(H, W, 3)` uint8 RGB image."""
        before, after = (contrast, 1.0) if contrast_first else (1.0, contrast)
        img = _look_up(img, _table(factor=before)[_table(offset=shift)])
        if saturation != 1.0:
            img = _change_hsv(img, saturation=_table(factor=saturation))
        if turn:
            img = _change_hsv(img, hue=((_LEVELS.astype(np.int16) + turn) % 180).astype(np.uint8))
        return _look_up(img, _table(factor=after))


def _change_hsv(
    img: np.ndarray, *, hue: np.ndarray = _LEVELS, saturation: np.ndarray = _LEVELS
) -> np.ndarray:
    """Replace hues and saturations of an RGB image by those of tables `(256,)`."""
    tables = np.stack([hue, saturation, _LEVELS], axis=1)[None]  # (1, 256, 3)
    changed = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), tables)
    return cv2.cvtColor(changed, cv2.COLOR_HSV2RGB)


def _table(*, factor: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """`level * factor + offset` of each level, cut to 0..255 and to whole numbers: `(256,)` uint8.

    The references compute the same in float32 for each pixel.
    """
    if factor == 1.0 and offset == 0.0:
        return _LEVELS
    return np.clip(_LEVELS.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)


def _look_up(img: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replace each value by the table's."""
    return img if np.array_equal(table, _LEVELS) else cv2.LUT(img, table)
