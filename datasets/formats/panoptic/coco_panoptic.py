"""Images with panoptic segmentations as a data set, from COCO's format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from swin_dense.datasets.formats.panoptic.panoptic_file import UNKNOWN_AREA, read_panoptic
from swin_dense.datasets.formats.panoptic.panoptic_layout import (
    find_panoptic_split,
    list_panoptic_splits,
)
from swin_dense.datasets.formats.panoptic.segment_pngs import read_segment_ids
from swin_dense.datasets.formats.parts import Part, describe_part
from swin_dense.datasets.formats.split_names import find_name
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.samples import PanopticSample, Segment
from swin_dense.datasets.transforms.pipeline import Pipeline, seed_transforms

_MAX_NAMED = 5


class CocoPanoptic(Dataset[PanopticSample]):
    """Images with a segment for every pixel but void.

    An item is asked for by its index, or by `(index, epoch)` as the samplers give it: whatever the
    transforms draw depends on seed, epoch and index alone.

    Attributes:
        annotation_file: the file read.
        class_names: one per label, in the order of the category ids.
        category_ids: the file's id of each label; ids may have gaps.
        is_thing: for each label.
        colours: `(K, 3)` uint8 RGB where every category has one, else None.
        image_ids: one per item; numbers, or names.
        file_names: of the images, in `image_folder`.
        png_names: of their segments, in `png_folder`.
        segment_counts: `(K,)`, segments of each class.
        sizes: `(height, width)` of each original image, px.
        description: a line on images, segments, classes, splits.
        split_name: of the split, with the part of it that this is.
        kept_images: file names of a part that is kept for validation; empty for any other.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        transforms: Pipeline,
        seed: int = 0,
        part: Part | None = None,
    ) -> None:
        """Read and check the index and the headers of the PNGs.

        Args:
            root: folder as `panoptic_layout.find_panoptic_split` takes it.
            split: such as `val2017`; a name that means the same will do.
            transforms: a pipeline of `transforms.panoptic`.
            seed: of all that the transforms draw.
            part: of the split; None: all of it.

        Raises:
            FileNotFoundError: no such root or split; the splits that exist are named.
            ValueError: the file has faults, all named (see `panoptic_file.read_panoptic`).
        """
        there = list_panoptic_splits(root)
        split = find_name(split, there) or split
        self.split_name = split + describe_part(part)
        places = find_panoptic_split(root, split)
        file = read_panoptic(
            places.annotation_file,
            png_folder=places.png_folder,
            image_folder=places.image_folder,
        )
        if part is not None:
            file = file.take(part.places([image.file_name for image in file.images], file.path))
        self.transforms = transforms
        self.seed = seed
        self.annotation_file = file.path
        self.class_names = tuple(category.name for category in file.categories)
        self.category_ids = tuple(category.id for category in file.categories)
        self.is_thing = tuple(category.is_thing for category in file.categories)
        colours = [category.colour for category in file.categories]
        self.colours = None if None in colours else np.array(colours, np.uint8)
        self.image_ids: list[int | str] = [image.id for image in file.images]
        self.file_names = [image.file_name for image in file.images]
        self.sizes = [image.size for image in file.images]
        is_kept = part is not None and part.is_for_validation
        self.kept_images = tuple(self.file_names) if is_kept else ()
        self.image_folder, self.png_folder = places.image_folder, places.png_folder
        self.png_names = file.png_names
        self._segments = file.segments
        counts = file.segments.count_labels(len(self.class_names))
        self.segment_counts = counts
        self.annotation_counts = {"segments": int(counts.sum())}
        self.description = (
            f"{root}: COCO panoptic layout, split {self.split_name}: {len(self.image_ids):,} "
            f"images, {sum(self.is_thing)} things and {len(counts) - sum(self.is_thing)} stuff, "
            f"{counts.sum():,} segments ({_name_counts(self.class_names, counts)})"
        )
        others = [name for name in there if name != split]
        if others:
            self.description += f"; other splits: {', '.join(others)}"

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> PanopticSample:
        """Read and transform one image and its segments.

        Raises:
            FileNotFoundError: a file has disappeared.
            ValueError: a file is damaged, the sizes differ, or the PNG has an id that the JSON file
                does not list.
        """
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        original = self.load_image(index)
        _, places, segments = self._load(index)
        seed_transforms(self.transforms, self.seed, epoch, index)
        moved = self.transforms(image=original, mask=places)
        image, mask = (np.ascontiguousarray(moved[name]) for name in ("image", "mask"))
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),  # (3, H, W)
            "image_id": self.image_ids[index],
            "original_size": image_size(original),
            "segment_map": torch.from_numpy(mask.astype(np.int32)),  # (H, W)
            "labels": torch.tensor([segment.label for segment in segments], dtype=torch.int64),
            "areas": torch.tensor([segment.area for segment in segments], dtype=torch.int64),
            "is_crowd": torch.tensor([segment.is_crowd for segment in segments], dtype=torch.bool),
        }

    def load_image(self, index: int) -> np.ndarray:
        """The image as annotated: `(H, W, 3)` uint8 RGB. Raises as `__getitem__`."""
        path = self.image_folder / self.file_names[index]
        try:
            return read_image(path, stated_size=self.sizes[index])
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{error} (image {self.image_ids[index]})") from error

    def load_segments(self, index: int) -> tuple[np.ndarray, list[Segment]]:
        """Ids at the original image's size, `(H, W)` int32 with 0 for void, and the segments.

        A segment without a stated area gets the one that its pixels have. Raises as `__getitem__`.
        """
        ids, _, segments = self._load(index)
        return ids, segments

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray, list[Segment]]:
        """Ids, places (see `place_segments`) and segments, checked against each other."""
        path = self.png_folder / self.png_names[index]
        ids = read_segment_ids(path)
        size = self.sizes[index]
        if ids.shape != tuple(size):
            raise ValueError(
                f"{path} must have its image's size, {size.width} x {size.height} (width x "
                f"height), got {ids.shape[1]} x {ids.shape[0]} (image {self.image_ids[index]})"
            )
        segments = self._segments[index]
        places = place_segments(ids, [segment.id for segment in segments])
        unknown = places > len(segments)
        if unknown.any():
            named = np.unique(ids[unknown]).tolist()
            more = ", ..." if len(named) > _MAX_NAMED else ""
            raise ValueError(
                f"every segment of a PNG must be in the JSON file, got "
                f"{', '.join(map(str, named[:_MAX_NAMED]))}{more} in {path} and not in "
                f"{self.annotation_file} (image {self.image_ids[index]})"
            )
        return (
            ids,
            places,
            [
                segment._replace(area=int((ids == segment.id).sum()))
                if segment.area == UNKNOWN_AREA
                else segment
                for segment in segments
            ],
        )


def place_segments(ids: np.ndarray, segment_ids: Sequence[int]) -> np.ndarray:
    """Each pixel's place among the segments, from 1: `(H, W)` uint16.

    0 is void; one more than there are segments is an id that none has.
    """
    order = np.argsort(segment_ids, kind="stable")
    known = np.array([0, *(segment_ids[place] for place in order)], np.int64)
    numbers = np.array([0, *(order + 1)], np.uint16)
    found = np.searchsorted(known, ids)
    found[found == len(known)] = 0
    return np.where(known[found] == ids, numbers[found], np.uint16(len(known)))


def _name_counts(names: Sequence[str], counts: np.ndarray) -> str:
    ordered = np.argsort(-counts, kind="stable")[:_MAX_NAMED]
    named = ", ".join(f"{names[label]} {counts[label]:,}" for label in ordered)
    return f"{named}, ..." if len(names) > _MAX_NAMED else named
