"""Folders of images and label maps."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from swin_dense.datasets.formats.folders import innermost_folder
from swin_dense.datasets.formats.segmentation.ade20k_writer import write_ade20k
from swin_dense.datasets.formats.segmentation.segmentation_folder import SegmentationFolder
from swin_dense.datasets.formats.segmentation.table import (
    SEGMENTATION_FORMATS,
    find_segmentation_format,
    open_segmentation,
)
from swin_dense.datasets.images import read_image
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.tools.report.folders.facts import FolderFacts
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.label_map_pictures import class_colours, draw_with_legend


class SegmentationFolders:
    """Images and label maps: the layouts of `datasets.formats.segmentation.table`."""

    written_as = "ade20k"

    def layouts(self) -> list[str]:
        """Names in `SEGMENTATION_FORMATS`, and that of pairs of folders."""
        return [*SEGMENTATION_FORMATS, "folders"]

    def fits(self, root: Path, layout: str | None) -> bool:
        """Tell whether a layout of label maps is recognised, or named."""
        if layout is not None:
            return layout in self.layouts()
        try:
            find_segmentation_format(innermost_folder(root))
        except FileNotFoundError:
            return False
        return True

    def describe(self, root: Path, layout: str | None) -> FolderFacts:
        """Count the images in which each class occurs; of large splits a part that is named."""
        folder = open_segmentation(root)
        found = find_segmentation_format(innermost_folder(root))
        keys = {id(value): key for key, value in SEGMENTATION_FORMATS.items()}
        names = folder.reading.classes.names
        counts = {split: folder.count_classes(split) for split in folder.splits}
        return FolderFacts(
            task="segmentation",
            layout=keys.get(id(found), "folders"),
            layout_title=folder.layout,
            root=folder.root,
            class_names=names,
            splits={
                split: {
                    "images": count.num_images,
                    "annotations": int(count.images.sum()),
                    "classes": dict(zip(names, count.images.tolist(), strict=True)),
                }
                for split, count in counts.items()
            },
            notes=(
                f"names: {folder.reading.names_from}",
                folder.reading.encoding.words,
                *(
                    f"{split}: images with each class counted in {count.words}"
                    for split, count in counts.items()
                ),
            ),
            samples=partial(_draw_label_maps, folder),
        )

    def write(self, root: Path, out: Path, flags: Any) -> None:
        """Write ADE20K's published layout: `training` and `validation` for splits of these kinds.

        With `val_fraction` or `val_list` the training split is written in two parts.
        """
        folder = open_segmentation(root, val_fraction=flags.val_fraction, val_list=flags.val_list)
        write_ade20k(folder, out)


def _draw_label_maps(folder: SegmentationFolder, most: int) -> Iterator[tuple[Picture, str]]:
    """The first images of the first split with their label maps beside them."""
    classes = folder.reading.classes
    split, files = next(iter(folder.splits.items()))
    for pair in files.images[:most]:
        labels = torch.from_numpy(folder.reading.encoding.read(pair.label_map)).long()
        pixels = read_image(pair.image, stated_size=(labels.shape[0], labels.shape[1]))
        drawn = draw_with_legend(
            torch.from_numpy(pixels).permute(2, 0, 1),
            [torch.full_like(labels, IGNORED_LABEL), labels],
            ["image", "annotations"],
            class_names=classes.names,
            colours=class_colours(len(classes.names), classes.colours),
        )
        yield drawn, f"{split}: {pair.id}"
