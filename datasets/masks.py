"""Instance masks: polygons and run lengths, and the way between them and bitmaps.

Run lengths are COCO's: along the columns of an `(H, W)` mask, alternating between outside and
inside, outside first. Compressed, they are a string of six-bit characters (pycocotools' format).
Polygons are in continuous px: pixel `i` covers `[i, i+1)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

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


class MaskCrop(NamedTuple):
    """The part of a mask that holds all its pixels.

    Attributes:
        left, top: px of the frame that the first column and row of the bitmap are.
        bitmap: `(h, w)` bool; `(0, 0)` for an empty mask.
    """

    left: int
    top: int
    bitmap: np.ndarray


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


def compress_masks(masks: Tensor | Sequence[Mapping[str, Any]]) -> list[CompressedMask]:
    """Encode masks in any form that models give them in.

    Args:
        masks: `(N, H, W)` bool or uint8; or one dict a mask with its `size`, (height, width) px,
            and `counts`: a list of run lengths, or the string that they were compressed to.
    """
    if isinstance(masks, Tensor):
        columns = masks.detach().bool().transpose(1, 2).contiguous().cpu()  # (N, W, H)
        return compress_bitmaps(columns.numpy().transpose(0, 2, 1))
    compressed: list[CompressedMask] = []
    for mask in masks:
        size, counts = list(mask["size"]), mask["counts"]
        if not isinstance(counts, bytes | str):
            counts = coco_mask.frPyObjects({"size": size, "counts": list(counts)}, *size)["counts"]
        compressed.append({"size": size, "counts": counts})
    return compressed


def crop_mask(mask: CompressedMask) -> MaskCrop:
    """Expand the smallest part of a mask that has all its pixels; the rest is never made."""
    columns, starts, ends = _column_pieces(mask)
    if not len(columns):
        return MaskCrop(0, 0, np.zeros((0, 0), dtype=bool))
    left, top = int(columns.min()), int(starts.min())
    bitmap = np.zeros((int(columns.max()) + 1 - left, int(ends.max()) - top), dtype=bool)  # (w, h)
    pieces = ((columns - left).tolist(), (starts - top).tolist(), (ends - top).tolist())
    for column, start, end in zip(*pieces, strict=True):
        bitmap[column, start:end] = True
    return MaskCrop(left, top, bitmap.T)


def move_mask(
    mask: CompressedMask, size: tuple[int, int], *, left: int, top: int
) -> CompressedMask:
    """Take the mask of a part of an image into the frame of the image.

    Args:
        mask: in the frame of the part.
        size: (height, width) of the image, px.
        left: px of the image that the part's first column is.
        top: px of the image that the part's first row is.

    Raises:
        ValueError: the part does not lie in the image.
    """
    height, width = mask["size"]
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError(
            f"a part of an image of {size[0]} x {size[1]} px must lie in it, got {height} x "
            f"{width} px at row {top} and column {left}"
        )
    columns, starts, ends = _column_pieces(mask)
    feet = (columns + left) * size[0] + top
    edges = np.stack([feet + starts, feet + ends], axis=1).ravel()
    # A run that goes on from the foot of a column to the head of the next is one.
    touches = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate([touches, touches + 1]))
    counts = np.diff(edges, prepend=0, append=size[0] * size[1])
    return compress_counts(counts[:-1] if counts[-1] == 0 else counts, size)


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


def _column_pieces(mask: CompressedMask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs inside a mask, cut at the feet of columns: column, first row and row behind each."""
    height = mask["size"][0]
    edges = decompress_counts(mask["counts"]).cumsum()
    ends = edges[1::2]
    starts = edges[0::2][: len(ends)]
    starts, ends = starts[starts < ends], ends[starts < ends]
    first = starts // height
    num_columns = (ends - 1) // height - first + 1
    run = np.repeat(np.arange(len(starts)), num_columns)
    place = np.arange(len(run)) - np.repeat(num_columns.cumsum() - num_columns, num_columns)
    columns = first[run] + place
    heads = columns * height
    return (
        columns,
        np.maximum(starts[run] - heads, 0),
        np.minimum(ends[run] - heads, height),
    )


def _fill_runs(counts: Tensor, is_inside: Tensor, num_pixels: int) -> Tensor:
    """Write only the inside runs into zeros, of which there are more: ten times as fast."""
    pixels = np.zeros(num_pixels, dtype=bool)
    ends = counts.cumsum(0, dtype=torch.int64)[is_inside]
    starts = ends - counts[is_inside]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        pixels[start:end] = True
    return torch.from_numpy(pixels)
