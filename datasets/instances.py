"""The objects of one image: their boxes, classes and masks, and how transforms move them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from swin_dense.datasets.images import image_size
from swin_dense.datasets.masks import (
    CompressedMask,
    compress_bitmaps,
    decompress,
    rasterise_polygons,
)
from swin_dense.datasets.transforms.pipeline import Pipeline

_MASKS_PER_PLANE = 8
_PIXEL_CENTRE = 0.5


@dataclass(frozen=True)
class Instances:
    """`G` objects of one image, in its frame; `G` may be 0.

    Attributes:
        boxes: `(G, 4)` float32 xyxy px; may reach out of the image.
        labels: `(G,)` int64 in `0..K-1`.
        polygons: for each object the parts of its mask, each `(P, 2)` x, y px; no part for the
            objects whose mask is in `run_lengths`, and for those without one.
        run_lengths: masks that are not polygons, by the object's index.
    """

    boxes: np.ndarray
    labels: np.ndarray
    polygons: list[list[np.ndarray]]
    run_lengths: dict[int, CompressedMask]

    @property
    def has_mask(self) -> np.ndarray:
        """`(G,)` bool: false for the objects that have a box alone."""
        known = [bool(parts) for parts in self.polygons]
        for index in self.run_lengths:
            known[index] = True
        return np.array(known, bool)

    def masks(self, size: tuple[int, int]) -> list[CompressedMask]:
        """All masks as run lengths of an image of `(height, width)` px.

        That of an object that has a box alone is empty.
        """
        masks = rasterise_polygons(self.polygons, size)
        for index, mask in self.run_lengths.items():
            masks[index] = mask
        return masks


class InstanceStore:
    """The objects of all images of a data set in a few flat arrays.

    Worker processes share those as long as nobody writes; the lists of numbers they come from would
    be copied, page by page, as soon as their reference counts change.
    """

    def __init__(self, images: Sequence[Instances]) -> None:
        """Pack the objects of each image."""
        parts_of_objects = [parts for image in images for parts in image.polygons]
        parts = [part for parts in parts_of_objects for part in parts]
        self._boxes = _concatenate([image.boxes for image in images], (0, 4), np.float32)
        self._labels = _concatenate([image.labels for image in images], (0,), np.int64)
        self._points = _concatenate(parts, (0, 2), np.float32)
        self._first_object = _offsets([len(image.labels) for image in images])
        self._first_part = _offsets([len(parts) for parts in parts_of_objects])
        self._first_point = _offsets([len(part) for part in parts])
        self._run_lengths = {
            index: image.run_lengths for index, image in enumerate(images) if image.run_lengths
        }

    def __len__(self) -> int:
        return len(self._first_object) - 1

    def __getitem__(self, index: int) -> Instances:
        """The objects of the image at `index`."""
        first, last = self._first_object[index : index + 2]
        first_part, last_part = self._first_part[first], self._first_part[last]
        splits = self._first_point[first_part : last_part + 1]
        parts = [self._points[a:b] for a, b in pairwise(splits)]
        ends = self._first_part[first : last + 1] - first_part
        return Instances(
            boxes=self._boxes[first:last],
            labels=self._labels[first:last],
            polygons=[parts[a:b] for a, b in pairwise(ends)],
            run_lengths=self._run_lengths.get(index, {}),
        )


def transform_instances(
    transforms: Pipeline, image: np.ndarray, instances: Instances
) -> tuple[np.ndarray, Instances, list[CompressedMask]]:
    """Transform an image and its objects together.

    Corners of boxes and points of polygons travel as albumentations' key points, which are centres
    of pixels there: half a pixel less than ours. Masks in run lengths travel as bitmaps, eight to
    a plane. Boxes are the bounds of their moved corners, cut to the image; objects whose box is
    left without area are dropped, as the reference frameworks do. An object whose box remains may
    have an empty mask.

    Args:
        transforms: a pipeline of `transforms.pipeline.compose`.
        image: `(H, W, 3)` uint8 RGB.
        instances: its objects, in the image's frame.

    Returns:
        The new image `(H', W', 3)`, its objects, and their masks as run lengths of its size.

    Raises:
        ValueError: a transform made something other than a uint8 RGB image, or dropped points.
    """
    num_objects = len(instances.labels)
    parts = [part for parts in instances.polygons for part in parts]
    corners = instances.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)  # (4*G, 2)
    points = np.concatenate([corners, *parts]) - _PIXEL_CENTRE  # (4*G + V, 2)
    bitmaps = list(instances.run_lengths.values())
    targets = {"masks": _pack_bitmaps(bitmaps)} if bitmaps else {}
    moved = transforms(image=image, keypoints=points, **targets)

    image = moved["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"transforms must give a uint8 image of shape (H, W, 3), got {image.dtype} of shape "
            f"{image.shape}; images are normalised on the device"
        )
    if len(moved["keypoints"]) != len(points):
        raise ValueError(
            f"transforms must keep all {len(points)} points, got {len(moved['keypoints'])}"
        )
    points = moved["keypoints"].astype(np.float32) + _PIXEL_CENTRE
    size = image_size(image)
    corners = points[: 4 * num_objects].reshape(-1, 4, 2)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)  # (G, 4)
    boxes = np.clip(boxes, 0, [size.width, size.height] * 2).astype(np.float32)
    keep = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)).tolist()

    ends = np.cumsum([4 * num_objects, *(len(part) for part in parts)])
    new_parts = iter([points[a:b] for a, b in pairwise(ends)])
    polygons = [[next(new_parts) for _ in parts] for parts in instances.polygons]
    planes = moved.get("masks")
    new_bitmaps = dict(
        zip(instances.run_lengths, _unpack_bitmaps(planes, len(bitmaps)), strict=True)
        if planes is not None
        else ()
    )
    kept = Instances(
        boxes=boxes[keep],
        labels=instances.labels[keep],
        polygons=[polygons[index] for index in keep],
        run_lengths={
            place: new_bitmaps[index] for place, index in enumerate(keep) if index in new_bitmaps
        },
    )
    return image, kept, kept.masks(size)


def _pack_bitmaps(masks: Sequence[CompressedMask]) -> np.ndarray:
    """Expand masks of one size, each to one bit of `(ceil(G/8), H, W)` uint8.

    An eighth of the memory: an image of 12 megapixels may have hundreds of objects.
    """
    planes = []
    for first in range(0, len(masks), _MASKS_PER_PLANE):
        bitmaps = decompress(masks[first : first + _MASKS_PER_PLANE])  # (8, H, W)
        planes.append(np.packbits(bitmaps, axis=0, bitorder="little")[0])
    return np.stack(planes)


def _unpack_bitmaps(planes: np.ndarray, num_masks: int) -> list[CompressedMask]:
    """Undo `_pack_bitmaps`."""
    masks: list[CompressedMask] = []
    for plane in planes:
        count = min(_MASKS_PER_PLANE, num_masks - len(masks))
        bitmaps = np.unpackbits(plane[None], axis=0, count=count, bitorder="little")  # (8, H, W)
        masks.extend(compress_bitmaps(bitmaps))
    return masks


def _concatenate(arrays: Sequence[np.ndarray], empty: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *arrays]).astype(dtype, copy=False)


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    """Start of each of several runs, and the end of the last: `(len(lengths) + 1,)` int64."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
