"""Folders of classes as `inspect` and `convert` see them."""

from collections.abc import Iterator
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.datasets.formats.classification.class_folder_writer import write_class_folders
from swin_dense.datasets.formats.classification.class_folders import (
    ClassFolders,
    SplitImages,
    open_class_folders,
    read_split,
)
from swin_dense.datasets.formats.classification.image_reading import read_rgb
from swin_dense.datasets.formats.split_names import is_training_name
from swin_dense.tools.report.folders.facts import FolderFacts
from swin_dense.tools.tasks.classification.score_pictures import draw_label
from swin_dense.tools.tasks.drawing import Picture


class ClassificationFolders:
    """Images in folders of their classes; any folders could be, so it is the last resort."""

    written_as = "image_folder"

    def layouts(self) -> list[str]:
        """The only one."""
        return [self.written_as]

    def fits(self, root: Path, layout: str | None) -> bool:
        """Tell whether the folder, or a split of it, holds folders with images."""
        if layout is not None:
            return layout == self.written_as
        try:
            folders = open_class_folders(root)
            return any(_has_images(folder) for folder in folders.splits.values())
        except (FileNotFoundError, ValueError):
            return False

    def describe(self, root: Path, layout: str | None) -> FolderFacts:
        """Count the images of every class in every split."""
        del layout
        folders = open_class_folders(root)
        read = {split: _read(folders, split) for split in folders.splits}
        names = folders.class_names
        notes = [
            f"{split}: {number:,} {what} left out"
            for split, images in read.items()
            for what, number in images.left_out.items()
        ]
        return FolderFacts(
            task="classification",
            layout=self.written_as,
            layout_title="folders of classes",
            root=folders.root,
            class_names=names,
            splits={split: _count(images) for split, images in read.items()},
            notes=tuple(notes),
            samples=partial(_draw_first, folders, read),
        )

    def write(self, root: Path, out: Path, flags: Any) -> None:
        """Write `{train,val,test}/CLASS` with copies of the images.

        With `val_fraction` or `val_list` the training split is written in two parts.
        """
        write_class_folders(
            open_class_folders(root),
            out,
            val_fraction=flags.val_fraction,
            val_list=flags.val_list,
        )


def _has_images(split: Path) -> bool:
    try:
        return bool(read_split(split).names)
    except ValueError as error:
        return "cannot be used" in str(error)  # faults are for `describe` to tell


def _read(folders: ClassFolders, split: str) -> SplitImages:
    return read_split(
        folders.splits[split],
        class_names=folders.class_names,
        is_for_training=is_training_name(split),
    )


def _count(images: SplitImages) -> dict[str, Any]:
    counts = np.bincount(np.array(images.labels, np.int64), minlength=len(images.class_names))
    return {
        "images": len(images.names),
        "annotations": len(images.names),
        "classes": dict(zip(images.class_names, counts.tolist(), strict=True)),
    }


def _draw_first(
    folders: ClassFolders, read: dict[str, SplitImages], most: int
) -> Iterator[tuple[Picture, str]]:
    """The first images of the first split, one class after the other."""
    split, images = next(iter(read.items()))
    by_class: dict[int, list[str]] = {}
    for name, label in zip(images.names, images.labels, strict=True):
        by_class.setdefault(label, []).append(name)
    turns = (name for turn in zip_longest(*by_class.values()) for name in turn if name is not None)
    labels = dict(zip(images.names, images.labels, strict=True))
    for name in islice(turns, most):
        pixels = np.asarray(read_rgb(folders.splits[split] / name))
        yield draw_label(pixels, labels[name], images.class_names), f"{split}: {name}"
