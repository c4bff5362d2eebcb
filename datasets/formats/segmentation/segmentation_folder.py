"""A folder of images and label maps, recognised: its splits, classes and their pixels."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swin_dense.datasets.formats.segmentation.label_encoding import Reading
from swin_dense.datasets.formats.segmentation.pairs import NUM_READERS, LabelledImage, SplitFiles
from swin_dense.datasets.formats.split_names import VALIDATION_NAMES, find_name
from swin_dense.datasets.label_maps import IGNORED_LABEL

_NUM_NAMED = 4  # classes in the line about a folder
_NUM_COUNTED = 500  # label maps whose pixels are counted


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Labelled pixels of a split, or of a part of it.

    Attributes:
        pixels: `(K,)` int64, pixels of each class.
        images: `(K,)` int64, images in which each class occurs.
        ignored: pixels without a class.
        num_counted: label maps that were read, spread evenly over the split.
        num_images: images of the split.
    """

    pixels: np.ndarray
    images: np.ndarray
    ignored: int
    num_counted: int
    num_images: int

    @property
    def words(self) -> str:
        """Part that was counted: "all 40 label maps"."""
        if self.num_counted == self.num_images:
            return f"all {self.num_images} label maps"
        return f"{self.num_counted} of {self.num_images} label maps, evenly spread"


@dataclass(frozen=True, kw_only=True)
class SegmentationFolder:
    """A data set of any layout, recognised.

    Attributes:
        layout: name in words.
        root: folder that was given.
        splits: by name.
        reading: its classes, and how its label maps are read.
    """

    layout: str
    root: Path
    splits: Mapping[str, SplitFiles]
    reading: Reading

    def find_split(self, name: str) -> tuple[str, SplitFiles]:
        """The split of a name, or of another word for the same: `train` for `training`.

        Raises:
            FileNotFoundError: there is none; those that exist are named.
        """
        found = find_name(name, self.splits)
        if found is None:
            there = ", ".join(f"{key} ({len(files.images)})" for key, files in self.splits.items())
            is_whole = not any(key in VALIDATION_NAMES for key in self.splits)
            part = ", or divide it with --data.val-fraction 0.1" if is_whole else ""
            raise FileNotFoundError(
                f"no split {name!r} in {self.root}; there are: {there or 'none'}; name one with "
                f"--data.train-split or --data.val-split (evaluate: --split){part}"
            )
        return found, self.splits[found]

    def describe(self) -> str:
        """Layout, images, splits and classes in one line."""
        names, reading = self.reading.classes.names, self.reading
        sizes = ", ".join(f"{key} {len(files.images)}" for key, files in self.splits.items())
        total = sum(len(files.images) for files in self.splits.values())
        named = ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "")
        classes = "1 class" if len(names) == 1 else f"{len(names)} classes"
        return (
            f"{self.root}: {self.layout} layout, {total} images ({sizes}), {classes} "
            f"({reading.names_from}: {named}); {reading.encoding.words}"
        )

    def count_classes(self, split: str, *, most: int = _NUM_COUNTED) -> ClassCounts:
        """Count the pixels of each class in a split, in up to `most` label maps spread over it.

        Raises:
            FileNotFoundError: no such split.
            ValueError: a label map cannot be read, or has a number that is no class.
        """
        pairs = self.find_split(split)[1].images
        chosen = pairs[:: max(1, -(-len(pairs) // most))]
        num_classes = len(self.reading.classes.names)

        def count(pair: LabelledImage) -> np.ndarray:
            labels = self.reading.encoding.read(pair.label_map)
            return np.bincount(labels.ravel(), minlength=IGNORED_LABEL + 1)

        pixels = np.zeros(IGNORED_LABEL + 1, np.int64)
        images = np.zeros(IGNORED_LABEL + 1, np.int64)
        with ThreadPoolExecutor(max_workers=NUM_READERS) as pool:
            for areas in pool.map(count, chosen):
                pixels += areas
                images += areas > 0
        return ClassCounts(
            pixels=pixels[:num_classes],
            images=images[:num_classes],
            ignored=int(pixels[IGNORED_LABEL]),
            num_counted=len(chosen),
            num_images=len(pairs),
        )
