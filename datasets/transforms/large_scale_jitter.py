"""Large-scale jitter, and what makes images of one size: crops and padding.

Ghiasi et al. 2021, "Simple Copy-Paste", section 3, as Mask2Former is trained (Cheng et al. 2022).
"""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np

from swin_dense.datasets.samples import Size
from swin_dense.datasets.transforms.pipeline import GEOMETRIC_TARGETS

PADDING = 128  # value of pixels beyond the image


class LargeScaleJitter(A.DualTransform):
    """Resize by a random factor, then crop and pad to a square.

    The image is fitted into a square of `size` times the factor, which is drawn uniformly; a part
    of at most `size` x `size` px is cut out, at one random share of the room in both directions;
    what is missing at the right and below is 128 in the image and 0 in masks. Images are resized
    bilinearly, or to means over the area of a pixel where they shrink; masks take the nearest one.

    Args:
        size: side of the square, px.
        ratios: smallest and largest factor.
    """

    _targets = GEOMETRIC_TARGETS

    def __init__(self, size: int, ratios: tuple[float, float] = (0.1, 2.0), p: float = 1.0) -> None:
        super().__init__(p=p)
        if size < 1 or not 0 < ratios[0] <= ratios[1]:
            raise ValueError(
                f"jitter must have a size of at least 1 px and ratios that rise from above 0, got "
                f"{size} and {ratios}"
            )
        self.size, self.ratios = size, ratios

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the factor and the place."""
        del data
        height, width = params["shape"][:2]
        side = self.size * self.py_random.uniform(*self.ratios)
        factor = min(side / height, side / width)
        scaled = Size(max(1, round(height * factor)), max(1, round(width * factor)))
        share = self.py_random.random()
        top, left = (round(max(0, length - self.size) * share) for length in scaled)
        return {"scaled": scaled, "top": top, "left": left}

    def apply(
        self, img: np.ndarray, *args: Any, scaled: Size, top: int, left: int, **params: Any
    ) -> np.ndarray:
        """Jitter an `(H, W, 3)` image."""
        is_smaller = scaled.height < img.shape[0]
        method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
        return self._fit(cv2.resize(img, scaled[::-1], interpolation=method), top, left, PADDING)

    def apply_to_mask(
        self, mask: np.ndarray, *args: Any, scaled: Size, top: int, left: int, **params: Any
    ) -> np.ndarray:
        """Jitter an `(H, W)` map."""
        resized = cv2.resize(mask, scaled[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return self._fit(resized, top, left, 0)

    def apply_to_masks(self, masks: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Jitter `(N, H, W)` bitmaps."""
        return np.stack([self.apply_to_mask(mask, **params) for mask in masks])

    def apply_to_keypoints(
        self,
        keypoints: np.ndarray,
        *args: Any,
        scaled: Size,
        top: int,
        left: int,
        shape: tuple[int, ...],
        **params: Any,
    ) -> np.ndarray:
        """Scale and shift the points."""
        factor = np.array([scaled.width / shape[1], scaled.height / shape[0]], dtype=np.float32)
        moved = keypoints.copy()
        moved[:, :2] = (keypoints[:, :2] + 0.5) * factor - 0.5
        moved[:, :2] -= np.array([left, top], dtype=np.float32)
        return moved

    def _fit(self, pixels: np.ndarray, top: int, left: int, value: int) -> np.ndarray:
        part = pixels[top : top + self.size, left : left + self.size]
        return pad_to(part, (self.size, self.size), value)


class PadToSize(A.DualTransform):
    """Pad at the right and below: the image with 128, maps with `mask_value`."""

    _targets = GEOMETRIC_TARGETS

    def __init__(self, size: tuple[int, int], *, mask_value: int, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.size, self.mask_value = size, mask_value

    def apply(self, img: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Pad an `(H, W, 3)` image."""
        return pad_to(img, self.size, PADDING)

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Pad an `(H, W)` map."""
        return pad_to(mask, self.size, self.mask_value)

    def apply_to_keypoints(self, keypoints: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """The points as they are."""
        return keypoints


def pad_to(pixels: np.ndarray, size: Sequence[int], value: int) -> np.ndarray:
    """Pad `(H, W, ...)` at the right and below to at least `size` (height, width)."""
    missing = [max(0, wanted - there) for wanted, there in zip(size, pixels.shape[:2], strict=True)]
    if not any(missing):
        return pixels
    width = [(0, missing[0]), (0, missing[1]), *([(0, 0)] * (pixels.ndim - 2))]
    return np.pad(pixels, width, constant_values=value)
