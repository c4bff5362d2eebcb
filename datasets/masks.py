"""Instance masks: polygons and run lengths, and the way between them and bitmaps.

Run lengths are COCO's: along the columns of an `(H, W)` mask, alternating between outside and
inside, outside first. Compressed, they are a string of six-bit characters (pycocotools' format).
Polygons are in continuous px: pixel `i` covers `[i, i+1)`.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

_FIRST_CHARACTER = 48  # "0"
_CONTINUES = 0x20
_NEGATIVE = 0x10
_VALUE_BITS = 5
_MAX_CHARACTERS = 7  # 35 bits: more than any run of a mask needs


class CompressedMask(TypedDict):
    """One mask as compressed run lengths; `size` is `[height, width]` px."""

    size: list[int]
    counts: bytes


def rasterise_polygons(
    objects: Sequence[Sequence[np.ndarray]], size: tuple[int, int]
) -> list[CompressedMask]:
    """Turn each object's polygons into one mask: the union of its parts.

    Rounding is pycocotools'. Parts outside the image are cut off. The reference frameworks draw the
    polygons at the original size and resize the bitmap to the nearest pixel, which moves it by up
    to half a pixel to the lower right; resized polygons stay in place. On the 1503 objects of 160
    COCO images, resized to 1333 x 800, the two ways agree to a mean IoU of 0.94 (0.96 for objects
    above 32^2 px); bitmaps resized bilinearly and cut at 1/2 agree with ours to 0.96.

    Args:
        objects: for each object its parts, each `(P, 2)` x, y px with at least 3 points.
        size: `(height, width)` of the masks, px.
    """
    parts = [part.ravel() for polygons in objects for part in polygons]
    drawn = iter(coco_mask.frPyObjects(parts, *size) if parts else ())
    masks = []
    for polygons in objects:
        drawn_parts = [next(drawn) for _ in polygons]
        # Merging is slow for one part and undefined for none.
        if len(drawn_parts) > 1:
            masks.append(coco_mask.merge(drawn_parts))
        else:
            masks.append(drawn_parts[0] if drawn_parts else empty_mask(size))
    return masks


def empty_mask(size: tuple[int, int]) -> CompressedMask:
    """A mask with no pixel inside, `size` is `(height, width)` px."""
    return compress_counts(np.array([size[0] * size[1]]), size)


def compress_bitmaps(bitmaps: np.ndarray) -> list[CompressedMask]:
    """Encode `(G, H, W)` bool or uint8 bitmaps; `G` may be 0.

    Fastest where memory already runs down the columns.
    """
    columns_first = np.asfortranarray(bitmaps.transpose(1, 2, 0))  # (H, W, G)
    return coco_mask.encode(columns_first.view(np.uint8))


def decompress(masks: Sequence[CompressedMask]) -> np.ndarray:
    """Expand masks of one size to `(G, H, W)` bool bitmaps; `G` is at least 1."""
    height, width = masks[0]["size"]
    return bitmaps_from_runs(*run_lengths(masks), (height, width)).numpy()


def mask_area(mask: CompressedMask) -> int:
    """Pixels inside a mask."""
    return int(coco_mask.area(mask))


def compress_counts(counts: np.ndarray, size: tuple[int, int]) -> CompressedMask:
    """Encode one mask given by its `(S,)` run lengths, which sum to `H*W`."""
    height, width = size
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, *size)


def decompress_counts(compressed: bytes) -> np.ndarray:
    """Read the run lengths of one compressed mask.

    A run is a chain of characters of five bits each, least significant first; from the fourth run
    on, the number is the difference to the run before the previous one.

    Returns:
        `(S,)` int64.

    Raises:
        ValueError: the string is not a chain of complete numbers.
    """
    characters = np.frombuffer(compressed, dtype=np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if not len(characters):
        return np.zeros(0, dtype=np.int64)
    is_last = (characters & _CONTINUES) == 0
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1 if is_last[-1] else np.zeros(0, dtype=np.int64)
    if not len(lengths) or characters.min() < 0 or characters.max() > 63:
        raise ValueError("compressed run lengths must be complete numbers of characters '0' to 'o'")
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError(f"a compressed run length has {lengths.max()} characters, too many")
    place = _VALUE_BITS * (np.arange(len(characters)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((characters & 0x1F) << place, starts)
    numbers -= np.where(characters[ends] & _NEGATIVE, 1 << (_VALUE_BITS * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def run_lengths(masks: Sequence[CompressedMask]) -> tuple[Tensor, Tensor]:
    """The runs of several masks, one after the other, as a sample carries them.

    Returns:
        `mask_counts` `(S,)` int32 and `mask_num_runs` `(G,)` int64.
    """
    runs = [decompress_counts(mask["counts"]) for mask in masks]
    counts = np.concatenate([np.zeros(0, dtype=np.int64), *runs]).astype(np.int32)
    num_runs = np.array([len(run) for run in runs], dtype=np.int64)
    return torch.from_numpy(counts), torch.from_numpy(num_runs)


def bitmaps_from_runs(counts: Tensor, num_runs: Tensor, size: tuple[int, int]) -> Tensor:
    """Expand run lengths to bitmaps on the device they are on, without waiting for it.

    Args:
        counts: `(S,)` int32 or int64, the runs of all objects; each object's sum to `H*W`.
        num_runs: `(G,)` int64, how many runs each object has.
        size: `(height, width)`, px.

    Returns:
        `(G, H, W)` bool, a transposed view of a contiguous `(G, W, H)`.
    """
    height, width = size
    num_pixels = len(num_runs) * height * width
    position = torch.arange(len(counts), device=counts.device)
    ends = num_runs.cumsum(0)
    owner = torch.searchsorted(ends, position, right=True)  # (S,) object of each run
    # Every second run of an object is inside, counted from the object's first run.
    is_inside = (position - (ends - num_runs)[owner]) % 2 == 1
    if counts.device.type == "cpu":
        pixels = _fill_runs(counts, is_inside, num_pixels)
    else:
        pixels = torch.repeat_interleave(is_inside, counts, output_size=num_pixels)
    return pixels.view(len(num_runs), width, height).transpose(1, 2)  # (G, H, W)


def _fill_runs(counts: Tensor, is_inside: Tensor, num_pixels: int) -> Tensor:
    """Write only the inside runs into zeros, of which there are more: ten times as fast."""
    pixels = np.zeros(num_pixels, dtype=bool)
    ends = counts.cumsum(0, dtype=torch.int64)[is_inside]
    starts = ends - counts[is_inside]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        pixels[start:end] = True
    return torch.from_numpy(pixels)
