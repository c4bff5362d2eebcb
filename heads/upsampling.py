"""Bilinear resizing of feature maps, whole or by rows, and convolution of a resized map.

Bilinear resizing is linear and works on each axis alone, so it is a matrix per axis. From that
come two things that large label maps and a fast decoder need: any range of output rows without
the rest, and the 3 x 3 convolution of an enlarged map computed at the small size. Everywhere:
pixel centres at half-integers (`align_corners=False`), edges repeated, no antialiasing.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `(B, C, h, w)` maps to `(B, C, *size)`; maps of that size are returned as they are."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resize_rows(maps: Tensor, sizes: Sequence[tuple[int, int]], rows: tuple[int, int]) -> Tensor:
    """Give some rows of maps that are resized to each of `sizes` in turn.

    The same values, up to rounding, as resizing whole maps and cutting out the rows.

    Args:
        maps: `(B, C, h, w)` floats.
        sizes: at least one `(height, width)`, in the order the maps are resized.
        rows: `(first, last)`, last excluded, of the last size.

    Returns:
        `(B, C, last - first, width of the last size)`.
    """
    if all(rows == (0, height) for height, _ in sizes):
        for size in sizes:
            maps = resize_maps(maps, size)
        return maps
    heights = [maps.shape[-2], *(height for height, _ in sizes)]
    # From the last size back to the maps: which rows are needed, and the product of the matrices.
    matrix: Tensor | None = None
    for num_in, num_out in zip(reversed(heights[:-1]), reversed(heights[1:]), strict=True):
        if num_in == num_out:
            continue
        needed = source_rows(rows, num_in, num_out)
        step = interpolation_matrix(num_in, num_out, rows, like=maps)[:, slice(*needed)]
        matrix = step if matrix is None else matrix @ step
        rows = needed
    maps = maps[:, :, slice(*rows)]
    for _, width in sizes:
        maps = resize_maps(maps, (maps.shape[-2], width))
    return maps if matrix is None else matrix @ maps  # (B, C, last - first, width)


def convolve_resized(
    maps: Tensor, weight: Tensor, size: tuple[int, int], rows: tuple[int, int]
) -> Tensor:
    """Give some rows of the 3 x 3 convolution (zero padding 1) of maps resized to `size`.

    A convolution is a sum over its nine taps of shifted 1 x 1 convolutions, and a 1 x 1 convolution
    may trade places with resizing. So the channels are mixed at the small size, and only the
    mixture is enlarged: for maps of half the side that is a quarter of the multiplications, for
    smaller ones less still, and the enlarged maps themselves are never in memory.

    Args:
        maps: `(B, C, h, w)` floats.
        weight: `(O, C, 3, 3)`.
        size: `(height, width)` that the maps are resized to before the convolution.
        rows: `(first, last)`, last excluded, of that size.

    Returns:
        `(B, O, last - first, width)`, equal up to rounding to
        `conv2d(resize_maps(maps, size), weight, padding=1)[:, :, first:last]`.
    """
    height, width = size
    num_out = weight.shape[0]
    first, last = rows
    halo = max(first - 1, 0), min(last + 1, height)
    needed = source_rows(halo, maps.shape[-2], height)
    down = interpolation_matrix(maps.shape[-2], height, halo, like=maps)[:, slice(*needed)]
    maps = maps[:, :, slice(*needed)]  # (B, C, h', w)
    batch, channels, low_height, low_width = maps.shape

    mix = weight.permute(3, 0, 2, 1).reshape(9 * num_out, channels)  # (3 columns * O * 3 rows, C)
    taps = mix @ maps.flatten(2)  # (B, 9*O, h'*w)
    taps = taps.view(batch, 3, num_out * 3 * low_height, low_width)

    across = interpolation_matrix(low_width, width, (0, width), like=maps)
    across = F.pad(across, (0, 0, 1, 1)).t()  # (w, width + 2), the zero padding on either side
    rows_mixed = sum(taps[:, k] @ across[:, k : k + width] for k in range(3))
    rows_mixed = rows_mixed.view(batch, num_out, 3 * low_height, width)  # (B, O, 3*h', width)

    down = F.pad(down, (0, 0, halo[0] - first + 1, last + 1 - halo[1]))  # (last - first + 2, h')
    down = torch.cat([down[k : k + last - first] for k in range(3)], dim=1)
    return down @ rows_mixed  # (B, O, last - first, width)


def source_rows(rows: tuple[int, int], num_in: int, num_out: int) -> tuple[int, int]:
    """Tell which of `num_in` rows the output `rows` (last excluded) of `num_out` are mixed from."""
    if rows == (0, num_out):
        return 0, num_in
    if num_in == num_out:
        return rows
    first, last = rows
    scale = num_in / num_out
    low = math.floor((first + 0.5) * scale - 0.5)
    high = math.floor((last - 0.5) * scale - 0.5) + 2
    return min(max(low, 0), num_in - 1), max(min(high, num_in), 1)


def interpolation_matrix(
    num_in: int, num_out: int, rows: tuple[int, int], *, like: Tensor
) -> Tensor:
    """Write linear resizing from `num_in` to `num_out` samples as a matrix.

    Args:
        num_in: samples before.
        num_out: samples after.
        rows: `(first, last)` of the output samples wanted, last excluded.
        like: gives device and dtype.

    Returns:
        `(last - first, num_in)`, each row sums to 1.
    """
    centres = torch.arange(*rows, device=like.device, dtype=torch.float32) + 0.5
    sources = (centres * (num_in / num_out) - 0.5).clamp(0, num_in - 1)
    columns = torch.arange(num_in, device=like.device, dtype=torch.float32)
    distances = (sources[:, None] - columns).abs()
    return (1 - distances).clamp(min=0).to(like.dtype)  # (last - first, num_in)
