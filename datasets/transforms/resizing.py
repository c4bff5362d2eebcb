"""The one place where images are resized: for training, evaluation and prediction of every task.

Geometry is in continuous px; albumentations' key points are centres of pixels, half a pixel less.
"""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from PIL import Image

from swin_dense.datasets.images import max_pixels
from swin_dense.datasets.samples import Size
from swin_dense.datasets.transforms.pipeline import GEOMETRIC_TARGETS

# Of the published multi-scale scores, which average them, each with its horizontal flip.
MULTI_SCALE_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_LONGEST_VIEW = 7  # times the short side, of Mask2Former's: 3584 px for 512


class PillowScale(tuple[int, int]):
    """A scale `(long, short)`, px, that images are fitted into by Pillow's bilinear filter.

    It weighs all pixels that a smaller image is made of, where OpenCV's takes the nearest four:
    so images were resized for the published scores that detectron2 measured with its own resize.
    """


def keep_ratio_size(size: tuple[int, int], scale: tuple[int, int]) -> Size:
    """The size an image gets when it is fitted into a scale, by the reference frameworks' rule.

    The largest factor that keeps the long side within the scale's larger number and the short side
    within its smaller; a side becomes `int(side * factor + 0.5)`, at least 1.

    Args:
        size: `(height, width)`, px.
        scale: `(long, short)`, px, in either order.

    Raises:
        ValueError: a number is below 1, or the size has more pixels than are read.
    """
    if min(*size, *scale) < 1:
        raise ValueError(f"size and scale must be at least 1 px, got {size} and {scale}")
    factor = min(max(scale) / max(size), min(scale) / min(size))
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    if height * width > max_pixels():
        raise ValueError(
            f"a resized image must have at most {max_pixels() / 1e6:g} megapixels, got {width} x "
            f"{height} px for scale {scale} and an image of {size[1]} x {size[0]} px (width x "
            "height); --max-megapixels raises the limit"
        )
    return Size(height, width)


def fit_image(image: np.ndarray, scale: tuple[int, int] | None) -> np.ndarray:
    """Fit an image into a scale, see `keep_ratio_size`; without one it stays as it is.

    Args:
        image: `(H, W, 3)` uint8.
        scale: LONG SHORT, px; a `PillowScale` for Pillow's filter.
    """
    if scale is None:
        return image
    size = keep_ratio_size(image.shape[:2], scale)
    return _resize(image, size, by_pillow=isinstance(scale, PillowScale))


def multi_scale_views(
    image: np.ndarray, *, ratios: Sequence[float] = MULTI_SCALE_RATIOS
) -> list[np.ndarray]:
    """Resize an image to several ratios of its size, for multi-scale inference.

    Args:
        image: `(H, W, 3)` uint8.
        ratios: factors on both sides; a side becomes `int(side * ratio + 0.5)`, at least 1.

    Returns:
        `(H_i, W_i, 3)` uint8, one per ratio.
    """
    height, width = image.shape[:2]
    sizes = [
        (max(1, int(width * ratio + 0.5)), max(1, int(height * ratio + 0.5))) for ratio in ratios
    ]
    return [cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for size in sizes]


def fit_multi_scale(
    image: np.ndarray, short: int, *, ratios: Sequence[float] = MULTI_SCALE_RATIOS
) -> list[np.ndarray]:
    """Fit an image to several short sides, for Mask2Former's multi-scale inference, by Pillow.

    Args:
        image: `(H, W, 3)` uint8.
        short: side that the ratios are of, px; long sides are at most seven times as long.
        ratios: factors.

    Returns:
        `(H_i, W_i, 3)` uint8, one per ratio.
    """
    longest = _LONGEST_VIEW * short
    shorts = [max(1, int(short * ratio)) for ratio in ratios]
    return [fit_image(image, PillowScale((longest, side))) for side in shorts]


class KeepRatioResize(A.DualTransform):
    """Fit the image into one of several scales, equally likely (see `keep_ratio_size`).

    Images are resized bilinearly on uint8, by Pillow where a scale says so; label maps take the
    nearest pixel by the rule of the reference frameworks (`cv2.INTER_NEAREST`), bitmaps of objects
    by the centres of pixels, as their polygons would be.
    """

    _targets = GEOMETRIC_TARGETS

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
        scale = self.py_random.choice(self.scales)
        return {
            "size": keep_ratio_size(params["shape"][:2], scale),
            "by_pillow": isinstance(scale, PillowScale),
        }

    def apply(
        self, img: np.ndarray, *args: Any, size: Size, by_pillow: bool = False, **params: Any
    ) -> np.ndarray:
        """Resize an `(H, W, 3)` image."""
        return _resize(img, size, by_pillow=by_pillow)

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
        """Scale the points by the factor of each axis, which rounding lets differ."""
        factor = np.array([size.width / shape[1], size.height / shape[0]], dtype=np.float32)
        moved = keypoints.copy()
        moved[:, :2] = (keypoints[:, :2] + 0.5) * factor - 0.5
        return moved


class KeepRatioResizeImage(KeepRatioResize):
    """Fit the image into a scale and leave the label map at its size: it is compared there."""

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """The label map as it is."""
        return mask


class RandomRatioResize(KeepRatioResize):
    """Fit the image into a scale times a ratio drawn uniformly; label maps likewise."""

    def __init__(self, scale: tuple[int, int], ratios: tuple[float, float], p: float = 1.0) -> None:
        super().__init__([scale], p=p)
        if not 0 < ratios[0] <= ratios[1]:
            raise ValueError(f"ratios must be positive and rise, got {ratios}")
        self.ratios = ratios

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the ratio; the size follows from it and the image's."""
        del data
        ratio = self.py_random.uniform(*self.ratios)
        long, short = (max(1, int(side * ratio)) for side in self.scales[0])
        return {"size": keep_ratio_size(params["shape"][:2], (long, short))}


def _resize(image: np.ndarray, size: Size, *, by_pillow: bool = False) -> np.ndarray:
    if by_pillow:
        shape = (size.width, size.height)
        return np.array(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))
    return cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
