"""Images of different sizes to one batch, normalised and padded on the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Per channel (RGB), of pixel values 0..255; every published Swin detector and segmentor uses these.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SizeGroup:
    """Images of a batch that are padded to one size.

    Attributes:
        indices: their places in the batch, ascending.
        size: `(height, width)` they are padded to, px.
    """

    indices: tuple[int, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class ImageBatch:
    """Normalised images, padded with zeros at the bottom and the right to one size.

    Models work on each image padded by itself to a multiple of `size_divisor`; what lies between
    that and the largest image of the batch is storage, no more.

    Attributes:
        pixels: `(B, 3, H, W)` float32.
        sizes: `(height, width)` of each image without its padding, px.
        size_divisor: see above, px.

    Raises:
        ValueError: there is not one size an image, a size is not within the pixels, or
            `size_divisor` is below 1.
    """

    pixels: Tensor
    sizes: tuple[tuple[int, int], ...]
    size_divisor: int = 32

    def __post_init__(self) -> None:
        if self.size_divisor < 1:
            raise ValueError(f"size_divisor must be at least 1, got {self.size_divisor}")
        if len(self.sizes) != len(self.pixels):
            raise ValueError(
                f"sizes must be one an image, got {len(self.sizes)} for {len(self.pixels)} images"
            )
        height, width = self.pixels.shape[-2:]
        for i, (h, w) in enumerate(self.sizes):
            if not (1 <= h <= height and 1 <= w <= width):
                raise ValueError(
                    f"sizes must be within the {height} x {width} px of the batch, "
                    f"got {h} x {w} for image {i}"
                )

    @property
    def padded_sizes(self) -> tuple[tuple[int, int], ...]:
        """`(height, width)` of each image padded by itself, px; never beyond `pixels`."""
        height, width = self.pixels.shape[-2:]
        return tuple(
            (min(self._round_up(h), int(height)), min(self._round_up(w), int(width)))
            for h, w in self.sizes
        )

    @property
    def size_groups(self) -> tuple[SizeGroup, ...]:
        """Images of one padded size together, in the order in which sizes first occur."""
        indices: dict[tuple[int, int], list[int]] = {}
        for i, size in enumerate(self.padded_sizes):
            indices.setdefault(size, []).append(i)
        return tuple(SizeGroup(tuple(found), size) for size, found in indices.items())

    def group_pixels(self, group: SizeGroup) -> Tensor:
        """`(B_g, 3, *group.size)` of one of `size_groups`; a view where its images follow each
        other."""
        parts = self.pixels[:, :, : group.size[0], : group.size[1]]
        first, last = group.indices[0], group.indices[-1]
        if last - first + 1 == len(group.indices):
            return parts[first : last + 1]
        return torch.stack([parts[i] for i in group.indices])

    def padded_to_multiple(self, size_divisor: int) -> "ImageBatch":
        """The same images to be padded to multiples of `size_divisor`; a batch that was made for
        another one gets the pixels that it lacks."""
        height, width = self.pixels.shape[-2:]
        missing = (0, -width % size_divisor, 0, -height % size_divisor)
        pixels = F.pad(self.pixels, missing) if any(missing) else self.pixels
        return replace(self, pixels=pixels, size_divisor=size_divisor)

    def _round_up(self, side: int) -> int:
        return -(-side // self.size_divisor) * self.size_divisor

    def __len__(self) -> int:
        return len(self.sizes)

    def crop(self, maps: Tensor, *, stride: int = 1) -> list[Tensor]:
        """Take the padding off maps that were computed from this batch.

        Args:
            maps: `(B, ..., h, w)`, one a batch image.
            stride: px of the image per cell of the map.

        Returns:
            For each image `(..., ceil(height / stride), ceil(width / stride))`, views of `maps`.

        Raises:
            ValueError: there is another number of maps than of images, or they are too small.
        """
        if len(maps) != len(self):
            raise ValueError(f"maps must be one an image, got {len(maps)} for {len(self)} images")
        cells = [tuple(-(-side // stride) for side in size) for size in self.sizes]
        for i, (height, width) in enumerate(cells):
            if height > maps.shape[-2] or width > maps.shape[-1]:
                raise ValueError(
                    f"maps of stride {stride} must be at least {height} x {width} for image {i}, "
                    f"got {maps.shape[-2]} x {maps.shape[-1]}"
                )
        return [maps[i, ..., :height, :width] for i, (height, width) in enumerate(cells)]

    def __iter__(self) -> Iterator[Tensor]:
        """The images one by one, `(3, height, width)`, without padding."""
        return iter(self.crop(self.pixels))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "ImageBatch":
        """The same batch on another device, of another floating point type if one is given."""
        return replace(self, pixels=self.pixels.to(device, dtype, non_blocking=True))


def batch_images(
    images: Sequence[Tensor],
    device: torch.device | str | None = None,
    *,
    size_divisor: int = 32,
    mean: Sequence[float] = PIXEL_MEAN,
    std: Sequence[float] = PIXEL_STD,
) -> ImageBatch:
    """Move images to the device, normalise them there and pad them to a common size.

    Each image is copied once, as it is (a quarter of the bytes where it is uint8); from pinned
    memory the copy does not wait. Nothing here makes the host wait for the device.

    Args:
        images: `(3, H, W)` RGB each, uint8, or floating point with values 0..255.
        device: where the batch is made; None: where the first image is.
        size_divisor: the common height and width are multiples of this, px.
        mean: subtracted, per channel.
        std: divided by, per channel.

    Returns:
        The batch; a padding pixel is 0 after normalisation.

    Raises:
        ValueError: there is no image, or one has another shape or type.
    """
    _check(images)
    if size_divisor < 1:
        raise ValueError(f"size_divisor must be at least 1, got {size_divisor}")
    device = images[0].device if device is None else torch.device(device)
    sizes = tuple((int(image.shape[1]), int(image.shape[2])) for image in images)
    height, width = (
        -(-max(sides) // size_divisor) * size_divisor for sides in zip(*sizes, strict=True)
    )
    offset, scale = _normalisation(tuple(mean), tuple(std), device)  # 2 x (3, 1, 1)
    pixels = torch.zeros(len(images), 3, height, width, device=device)
    for slot, image, (h, w) in zip(pixels, images, sizes, strict=True):
        moved = image.to(device, non_blocking=True)
        torch.sub(moved, offset, out=slot[:, :h, :w]).div_(scale)
    return ImageBatch(pixels, sizes, size_divisor)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is remembered must also serve a later training
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    offset, scale = torch.tensor([mean, std], device=device)[..., None, None]  # 2 x (3, 1, 1)
    return offset, scale


def _check(images: Sequence[Tensor]) -> None:
    if isinstance(images, Tensor) or not len(images):
        got = f"a tensor {tuple(images.shape)}" if isinstance(images, Tensor) else "none"
        raise ValueError(f"images must be a list of at least one (3, H, W) tensor, got {got}")
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise ValueError(
                f"image {i} must be (3, H, W) with every side at least 1, got {tuple(image.shape)}"
            )
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise ValueError(f"image {i} must be uint8 or floating point, got {image.dtype}")
