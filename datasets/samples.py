"""Samples: the form of one image and its targets on the way from a data set to a model.

A sample is a plain dict. A batch is a list of samples: images differ in size until they are padded
on the device.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypedDict, TypeVar

from torch import Tensor


class Size(NamedTuple):
    """Height and width in px; a named tuple, because pinning memory turns plain ones into lists."""

    height: int
    width: int


class DetectionSample(TypedDict):
    """One image with its objects, in the frame of the transformed image (*input* frame).

    `image`: `(3, H, W)` uint8 RGB, already resized. `original_size` is the file's size before any
    transform. Of the `G` objects (0 is allowed, crowds are left out): `boxes` `(G, 4)` float32 xyxy
    px inside the image, each with an area; `labels` `(G,)` int64 in `0..K-1`; their masks as run
    lengths, concatenated: `mask_counts` `(S,)` int32, and `mask_num_runs` `(G,)` int64, the number
    of runs of each object. Runs go down the columns, alternate between outside and inside, start
    with outside for every object, and sum to `H*W` (`masks.bitmaps_from_runs` expands them).
    `has_mask` `(G,)` bool: false for the objects annotated with a box alone, whose mask is empty.
    """

    image: Tensor
    image_id: int
    original_size: Size
    boxes: Tensor
    labels: Tensor
    mask_counts: Tensor
    mask_num_runs: Tensor
    has_mask: Tensor


class Segment(NamedTuple):
    """One segment of a panoptic segmentation: an object, or all of one kind of stuff.

    Attributes:
        id: its pixels' in the map, from 1 up.
        label: 0..K-1.
        area: px; of ground truth as annotated.
        is_crowd: a group whose objects are not told apart.
    """

    id: int
    label: int
    area: int = 0
    is_crowd: bool = False


class PanopticSample(TypedDict):
    """One image with its segments, in the frame of the transformed image.

    `image`: `(3, H, W)` uint8 RGB, already transformed. `original_size` is the file's size.
    `segment_map` `(H, W)` int32: 0 is void, `i + 1` is segment `i` of the `G` (0 is allowed; a
    segment that was cropped away has no pixel). `labels` `(G,)` int64 in `0..K-1`; `areas` `(G,)`
    int64, px of the original as annotated; `is_crowd` `(G,)` bool.
    """

    image: Tensor
    image_id: int | str
    original_size: Size
    segment_map: Tensor
    labels: Tensor
    areas: Tensor
    is_crowd: Tensor


class SegmentationSample(TypedDict):
    """One image with its label map: `(H, W)` int64 in `0..K-1`, 255 is ignored.

    `image`: `(3, H, W)` uint8 RGB, already transformed. `original_size` is the file's size.
    """

    image: Tensor
    image_id: str
    original_size: Size
    label_map: Tensor


class ClassificationSample(TypedDict):
    """One image with its class: `label`, 0..K-1.

    `image`: `(3, H, W)` uint8 RGB, already transformed. `original_size` is the image's as it is
    read. `image_id` is the file's path below the split's folder.
    """

    image: Tensor
    image_id: str
    original_size: Size
    label: int


Sample = TypeVar("Sample")


def collate_samples(samples: list[Sample]) -> list[Sample]:
    """Leave a batch as the list it is (`collate_fn` of a `DataLoader`)."""
    return samples


def describe_left_out(counts: Mapping[str, int]) -> str:
    """`12 crowds, 1 box without area`: counts of a data set's `report` in words, the most first.

    Args:
        counts: by kind, whose first word is a plural.
    """
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    return ", ".join(_count(number, kind) for kind, number in ordered if number)


def _count(number: int, kind: str) -> str:
    if number != 1:
        return f"{number:,} {kind}"
    plural, space, rest = kind.partition(" ")
    singular = {"boxes": "box", "categories": "category"}.get(plural, plural.removesuffix("s"))
    return f"1 {singular}{space}{rest}"
