"""Images for classification: the view of evaluation, augmentation, and what mixes images.

Everything before the batch works on Pillow's images, as the published recipes do, with
`torchvision.transforms.v2`, and draws from torch's global source of random numbers. Erasing and
mixing come after normalisation, on the device.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

_BICUBIC = v2.InterpolationMode.BICUBIC
_MOST_RATIO = 64  # of an image's sides; what lies farther from the centre is cut off
_MEAN_COLOUR = (124, 116, 104)  # of ImageNet, RGB; what turned and moved images leave free

# RandAugment as released ("rand-m9-mstd0.5-inc1"): two operations at a magnitude of 9 of 10 with a
# deviation of 0.5, each done with probability 1/2. Magnitudes are whole numbers here: 9, and 8 or
# 10 where a normal value rounds to them.
_NUM_OPERATIONS = 2
_MAGNITUDE_BINS = 11  # 0 to 10
_OPERATION_PROBABILITY = 0.5
_NEIGHBOUR_SHARE = 0.1587  # of a normal distribution below mean - 1 deviation

Transform = Callable[[Image.Image], Tensor]


class EvaluationView:
    """The part of an image that is evaluated: resized, and cropped at the centre.

    Bicubic, by Pillow, which weighs the pixels that a smaller image is made of.

    Args:
        resize: length of the short side, px; without `keep_ratio` of both sides.
        crop: side of the square that is cut out, px.
        keep_ratio: keep the ratio of the sides; the long one is rounded down, as torchvision does.
    """

    def __init__(self, *, resize: int, crop: int, keep_ratio: bool) -> None:
        self._size = [resize] if keep_ratio else [resize, resize]
        self._crop = crop

    def __call__(self, image: Image.Image) -> Tensor:
        """RGB image to `(3, crop, crop)` uint8."""
        longest = _MOST_RATIO * min(image.size)
        if max(image.size) > longest:  # a thread of an image would be gigabytes when it is resized
            sides = [min(side, longest) for side in (image.height, image.width)]
            image = functional.center_crop(image, sides)
        resized = functional.resize(image, self._size, interpolation=_BICUBIC)
        return as_tensor(functional.center_crop(resized, [self._crop, self._crop]))


def classification_train(
    *,
    size: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
    magnitude: int | None,
) -> Transform:
    """The augmentation of the ImageNet recipes, up to normalisation.

    Args:
        size: side of the square that is given, px.
        area: smallest and largest share of the image that is cut out.
        ratio: smallest and largest width / height of the part.
        flip: probability of the mirror image.
        magnitude: of RandAugment, 0..10 (Cubuk et al. 2020); None: without.

    Returns:
        A transform of an RGB image to `(3, size, size)` uint8.
    """
    steps: list[Callable[..., object]] = [
        v2.RandomResizedCrop((size, size), scale=area, ratio=ratio, interpolation=_BICUBIC),
        v2.RandomHorizontalFlip(flip),
    ]
    if magnitude is not None:
        steps += [_random_operation(magnitude) for _ in range(_NUM_OPERATIONS)]
    return v2.Compose([*steps, as_tensor])


def _random_operation(magnitude: int) -> v2.Transform:
    """One operation of RandAugment, or none."""
    magnitudes = [max(0, magnitude - 1), magnitude, min(_MAGNITUDE_BINS - 1, magnitude + 1)]
    shares = [_NEIGHBOUR_SHARE, 1 - 2 * _NEIGHBOUR_SHARE, _NEIGHBOUR_SHARE]
    operations = [
        v2.RandAugment(
            num_ops=1,
            magnitude=level,
            num_magnitude_bins=_MAGNITUDE_BINS,
            interpolation=_BICUBIC,
            fill=list(_MEAN_COLOUR),
        )
        for level in magnitudes
    ]
    return v2.RandomApply([v2.RandomChoice(operations, p=shares)], p=_OPERATION_PROBABILITY)


def erase_parts(pixels: Tensor, *, probability: float) -> Tensor:
    """Fill a rectangle of some images with noise (Zhong et al. 2020, random erasing).

    Args:
        pixels: `(B, 3, H, W)` float, normalised.
        probability: that an image has one, of 2 % to 33 % of its area.

    Returns:
        Pixels of the same shape.
    """
    erasing = v2.RandomErasing(
        p=probability, scale=(0.02, 1 / 3), ratio=(0.3, 10 / 3), value="random"
    )
    return torch.stack([erasing(image) for image in pixels])


def mix_images(
    pixels: Tensor, labels: Tensor, *, num_classes: int, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix each image with another of the batch, and their labels in the same shares.

    Mixup (Zhang et al. 2018) blends them, cutmix (Yun et al. 2019) puts a rectangle of one into the
    other; where both are asked for, one is drawn for the batch with equal chances, as released.

    Args:
        pixels: `(B, 3, H, W)` float, normalised.
        labels: `(B,)` int64 in 0..K-1.
        num_classes: K.
        mixup: alpha of the Beta distribution of its shares; 0: without.
        cutmix: likewise.

    Returns:
        The pixels, and `(B, K)` float32: shares of the classes in each image.
    """
    choices: list[v2.Transform] = []
    if mixup > 0:
        choices.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
    if cutmix > 0:
        choices.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
    if not choices:
        return pixels, torch.nn.functional.one_hot(labels, num_classes).float()
    mixed, shares = v2.RandomChoice(choices)(pixels, labels)
    return mixed, shares.float()


def as_tensor(image: Image.Image) -> Tensor:
    """RGB image to `(3, H, W)` uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def as_image(pixels: np.ndarray) -> Image.Image:
    """`(H, W, 3)` uint8 to an RGB image."""
    return Image.fromarray(pixels)
