"""Mask2Former's pipelines: augmentation for training, the resize of panoptic evaluation.

Their numbers are the recipes'. Masks are maps of segments, 0 for void.
"""

from collections.abc import Sequence

import albumentations as A

from swin_dense.datasets.transforms.large_scale_jitter import LargeScaleJitter, PadToSize
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.datasets.transforms.resizing import KeepRatioResize, KeepRatioResizeImage
from swin_dense.datasets.transforms.segmentation import PhotometricDistortion, RandomCropOfClasses

_VOID = 0


def panoptic_jitter(
    *,
    size: int,
    ratios: tuple[float, float],
    flip: float,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of the COCO recipes: mirror image and large-scale jitter.

    Args:
        size: side of the square images that are trained on, px.
        ratios: smallest and largest factor, as in `LargeScaleJitter`.
        flip: probability of the horizontal flip, 0..1.
        extra: further transforms, applied last, to the uint8 image and its map.
    """
    return A.Compose([A.HorizontalFlip(p=flip), LargeScaleJitter(size, ratios), *extra])


def square_crops(
    *,
    size: int | tuple[int, int],
    short_sides: Sequence[int],
    long_side: int,
    flip: float,
    photometric: bool,
    mask_value: int = _VOID,
    extra: Sequence[A.BasicTransform] = (),
) -> Pipeline:
    """The augmentation of the ADE20K recipes: resize, crop, colours, mirror image, padding.

    Args:
        size: of the images that are trained on, px: side, or height and width.
        short_sides: of the resize, px, equally likely.
        long_side: its largest long side, px.
        flip: probability of the horizontal flip, 0..1.
        photometric: distort colours.
        mask_value: of the map where the image is padded: 0 is void, 255 is ignored.
        extra: further transforms, applied last, to the uint8 image and its map.
    """
    shape = (size, size) if isinstance(size, int) else size
    return A.Compose(
        [
            KeepRatioResize([(long_side, side) for side in short_sides]),
            RandomCropOfClasses(shape, cat_max_ratio=1.0),
            *([PhotometricDistortion()] if photometric else []),
            A.HorizontalFlip(p=flip),
            PadToSize(shape, mask_value=mask_value),
            *extra,
        ]
    )


def panoptic_eval(scale: tuple[int, int]) -> Pipeline:
    """The keep-ratio resize of the image in evaluation; maps keep their size.

    Args:
        scale: `(long, short)`, px, as in `keep_ratio_size`.
    """
    return A.Compose([KeepRatioResizeImage([scale])])
