"""Models as fixed graphs of tensors: what `swin-dense export` traces and other runtimes run.

A graph takes one image as it is read, and does the rest inside. Nothing in it may depend on the
values of height and width but through tensors and symbolic numbers: a graph that is traced at one
size runs at every other.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from swin_dense.padding import PIXEL_MEAN, PIXEL_STD
from swin_dense.ranges import SMALLEST_SIDE
from swin_dense.tracing import own_size


class Graph(nn.Module):
    """A fixed graph from `image` to named outputs.

    Attributes:
        outputs: names of what the forward gives, in order.
        any_batch: whether it takes any number of images of one size; else it takes one.
        tolerance: largest difference of an output's values, as a share of the largest value
            expected, with which an exported file counts as equal.
        thresholds: scores and overlaps that are built in, by name.
    """

    outputs: tuple[str, ...]
    any_batch: ClassVar[bool] = False
    tolerance: float = 1e-3
    thresholds: Mapping[str, float] = MappingProxyType({})

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs.

        Args:
            image: `(1, 3, H, W)` uint8 RGB; any H and W from 32 to 4096.

        Returns:
            One tensor for each of `outputs`.
        """
        raise NotImplementedError

    def expected(self, image: Tensor) -> dict[str, Tensor]:
        """Outputs that an exported file shall give for an image: by default this graph's own."""
        with torch.no_grad():
            return dict(zip(self.outputs, self(image), strict=True))

    def differences(
        self, expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, str]]:
        """Compare what a file gives with what is expected.

        Yields:
            Name of an output that differs, and how.
        """
        for name, wanted in expected.items():
            got = found[name]
            if wanted.shape != got.shape:
                yield name, f"shape {got.shape} instead of {wanted.shape}"
            elif not np.isfinite(got).all():
                yield name, "values that are not finite"
            elif wanted.size:
                wanted, got = wanted.astype(np.float64), got.astype(np.float64)
                difference = float(np.abs(wanted - got).max())
                limit = self.tolerance * max(1.0, float(np.abs(wanted).max()))
                if difference > limit:
                    yield name, f"differences up to {difference:.2g}, over {limit:.2g}"


def normalise(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """`(B, 3, H, W)` uint8 RGB to normalised pixels of a floating point type."""
    if torch.compiler.is_exporting():  # what follows is told how small a map can be
        for side in image.shape[-2:]:
            torch._check(side >= SMALLEST_SIDE)
    mean = torch.tensor(PIXEL_MEAN, device=image.device)[:, None, None]  # (3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=image.device)[:, None, None]
    return ((image.float() - mean) / std).to(dtype)


def pad_to_multiple(pixels: Tensor, divisor: int) -> Tensor:
    """`(B, 3, H, W)` with zeros at the bottom and the right, up to multiples of `divisor`.

    By gathering, without a branch on the size: rows beyond the image repeat its last one, times 0.
    """
    for axis in (-2, -1):
        side = pixels.shape[axis]
        units = (side + divisor - 1) // divisor
        units = own_size(units, images=pixels.shape[0])
        places = torch.arange(units * divisor, device=pixels.device)
        pixels = pixels.index_select(axis, places.clamp(max=side - 1))
        is_real = (places < side).to(pixels.dtype)
        pixels = pixels * (is_real[:, None] if axis == -2 else is_real)
    return pixels
