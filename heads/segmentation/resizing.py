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

# Columns that are enlarged by one dense matrix; it grows with the square of this.
_COLUMNS_PER_BLOCK = 256


def map_size(maps: Tensor) -> tuple[int, int]:
    """Height and width of `(..., H, W)` maps."""
    height, width = maps.shape[-2:]
    return height, width


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `(B, C, h, w)` maps to `(B, C, *size)`; maps of that size are returned as they are."""
    # A traced graph must not look whether its sizes are equal; then this changes nothing.
    if not torch.compiler.is_compiling() and map_size(maps) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resize_rows(maps: Tensor, sizes: Sequence[tuple[int, int]], rows: tuple[int, int]) -> Tensor:
    """Some rows of maps that are resized to each of `sizes` in turn.

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
        step, needed = banded_matrix(num_in, num_out, rows, like=maps)
        matrix = step if matrix is None else matrix @ step
        rows = needed
    maps = maps[:, :, slice(*rows)]
    for _, width in sizes:
        maps = resize_maps(maps, (maps.shape[-2], width))
    return maps if matrix is None else mix_rows(matrix, maps)  # (B, C, last - first, width)


def mix_rows(matrix: Tensor, maps: Tensor) -> Tensor:
    """Apply `matrix` `(n, h)` to the rows of `maps` `(B, C, h, w)`: `(B, C, n, w)`."""
    batch, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
    mixed = (matrix @ rows).view(batch, matrix.shape[0], width, channels)
    return mixed.permute(0, 3, 1, 2)  # (B, C, n, w)


def convolve_resized(
    maps: Tensor, weight: Tensor, size: tuple[int, int], rows: tuple[int, int]
) -> Tensor:
    """Some rows of the 3 x 3 convolution (zero padding 1) of maps resized to `size`.

    A convolution is a sum over its nine taps of shifted 1 x 1 convolutions, and a 1 x 1 convolution
    may trade places with resizing. So the channels are mixed at the small size, and only the
    mixture is enlarged: for maps of half the side that is a quarter of the multiplications, for
    smaller ones less still, and the enlarged maps themselves are never in memory.

    Args:
        maps: `(B, C, h, w)` floats; fastest where channels lie innermost.
        weight: `(O, C, 3, 3)`.
        size: `(height, width)` that the maps are resized to before the convolution.
        rows: `(first, last)`, last excluded, of that size.

    Returns:
        `(B, O, last - first, width)`, channels innermost; equal up to rounding to
        `conv2d(resize_maps(maps, size), weight, padding=1)[:, :, first:last]`.
    """
    height, width = size
    down, needed = _tap_matrix(maps.shape[-2], height, rows, like=maps)  # (n, 3, h')
    maps = maps[:, :, slice(*needed)].permute(0, 2, 3, 1)  # (B, h', w, C)
    if torch.compiler.is_exporting():  # an empty row: products want to know that h' is not 1
        maps, down = F.pad(maps, (0, 0, 0, 0, 0, 1)), F.pad(down, (0, 1))
    batch, low_height, low_width, channels = maps.shape
    mix = weight.permute(2, 1, 3, 0).reshape(3, channels, -1)  # (3, C, 3*O), a row of taps each
    joined = maps.new_zeros(())
    for k in range(3):
        taps = (maps @ mix[k]).view(batch * low_height, low_width, 3, -1)  # (B*h', w, 3, O)
        enlarged = _sum_across(taps, width).view(batch, low_height, -1)  # (B, h', width*O)
        joined = joined + down[:, k] @ enlarged  # (B, n, width*O)
    return joined.view(batch, down.shape[0], width, -1).permute(0, 3, 1, 2)  # (B, O, n, width)


def _sum_across(taps: Tensor, width: int) -> Tensor:
    """Enlarge `(N, w, 3, O)` taps to `width` columns and add them up, shifted: `(N, width, O)`."""
    low_width = taps.shape[1]
    parts = []
    if torch.compiler.is_compiling():  # a loop would fix the width: all columns are one block
        starts, step = [0], width
    else:
        starts, step = list(range(0, width, _COLUMNS_PER_BLOCK)), _COLUMNS_PER_BLOCK
    for left in starts:
        columns = left, min(left + step, width)
        across, needed = _tap_matrix(low_width, width, columns, like=taps)  # (n, 3, w')
        across = across.transpose(1, 2).flatten(1)  # (n, w'*3)
        parts.append(across @ taps[:, slice(*needed)].flatten(1, 2))  # (N, n, O)
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _tap_matrix(
    num_in: int, num_out: int, outputs: tuple[int, int], *, like: Tensor
) -> tuple[Tensor, tuple[int, int]]:
    """Write resizing and the three shifts of a kernel's taps as one matrix.

    Returns:
        `(last - first, 3, num_needed)` and the range of the `num_in` samples needed. Entry
        `[i, k]` makes sample `first + i + k - 1` of the resized axis, zero beyond its ends.
    """
    first, last = outputs
    halo = max(first - 1, 0), min(last + 1, num_out)
    matrix, needed = banded_matrix(num_in, num_out, halo, like=like)
    matrix = F.pad(matrix, (0, 0, halo[0] - first + 1, last + 1 - halo[1]))  # (n + 2, num_needed)
    return torch.stack([matrix[k : k + last - first] for k in range(3)], dim=1), needed


def banded_matrix(
    num_in: int, num_out: int, outputs: tuple[int, int], *, like: Tensor
) -> tuple[Tensor, tuple[int, int]]:
    """The rows `outputs` of `interpolation_matrix`, and the range of its columns that is kept."""
    needed = source_range(outputs, num_in, num_out)
    return interpolation_matrix(num_in, num_out, outputs, like=like)[:, slice(*needed)], needed


def source_range(outputs: tuple[int, int], num_in: int, num_out: int) -> tuple[int, int]:
    """Range of the `num_in` samples that `outputs` (last excluded) of `num_out` are mixed from."""
    if outputs == (0, num_out):
        return 0, num_in
    if num_in == num_out:
        return outputs
    first, last = outputs
    scale = num_in / num_out
    low = math.floor((first + 0.5) * scale - 0.5)
    high = math.floor((last - 0.5) * scale - 0.5) + 2
    return min(max(low, 0), num_in - 1), max(min(high, num_in), 1)


def pool_maps(maps: Tensor, cells: int) -> Tensor:
    """Average maps over a grid of cells, as `nn.AdaptiveAvgPool2d` does, by averaging matrices.

    That operator has no counterpart in ONNX for maps of any size. The products are written as sums:
    the compiler of packages has no matrix product over a side that is a symbol of its own.

    Args:
        maps: `(B, C, H, W)`.
        cells: side s of the grid.

    Returns:
        `(B, C, s, s)`.
    """
    down, across = (averaging_matrix(side, cells, like=maps) for side in map_size(maps))
    rows = (maps[:, :, None] * down[:, :, None]).sum(dim=3)  # (B, C, s, W)
    return (rows[:, :, :, None] * across).sum(dim=4)


def averaging_matrix(num_in: int, num_out: int, *, like: Tensor) -> Tensor:
    """Write adaptive average pooling of an axis as a matrix: cell `i` is the mean of the samples
    from `floor(i * num_in / num_out)` up to `ceil((i + 1) * num_in / num_out)`.

    Args:
        num_in: samples before.
        num_out: cells.
        like: gives device and dtype.

    Returns:
        `(num_out, num_in)`, each row sums to 1.
    """
    edges = torch.arange(num_out + 1, device=like.device) * num_in  # times num_out
    first = edges[:-1] // num_out  # (num_out,)
    stop = (edges[1:] + num_out - 1) // num_out
    samples = torch.arange(num_in, device=like.device)
    is_inside = (samples >= first[:, None]) & (samples < stop[:, None])  # (num_out, num_in)
    return is_inside.to(like.dtype) / (stop - first).to(like.dtype)[:, None]


def interpolation_matrix(
    num_in: int, num_out: int, outputs: tuple[int, int], *, like: Tensor
) -> Tensor:
    """Write linear resizing from `num_in` to `num_out` samples as a matrix.

    Args:
        num_in: samples before.
        num_out: samples after.
        outputs: `(first, last)` of the output samples wanted, last excluded.
        like: gives device and dtype.

    Returns:
        `(last - first, num_in)`, each row sums to 1.
    """
    centres = torch.arange(*outputs, device=like.device, dtype=torch.float32) + 0.5
    sources = (centres * (num_in / num_out) - 0.5).clamp(0, num_in - 1)
    columns = torch.arange(num_in, device=like.device, dtype=torch.float32)
    distances = (sources[:, None] - columns).abs()
    return (1 - distances).clamp(min=0).to(like.dtype)  # (last - first, num_in)
