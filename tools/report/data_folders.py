"""Folders of data as `inspect` and `convert` see them; code outside adds a kind to the table."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.coco_writer import write_coco
from swin_dense.datasets.formats.detection_folder import (
    Part,
    open_detection_folder,
)
from swin_dense.datasets.formats.folders import innermost_folder
from swin_dense.datasets.formats.segmentation.ade20k_writer import write_ade20k
from swin_dense.datasets.formats.segmentation.segmentation_folder import SegmentationFolder
from swin_dense.datasets.formats.segmentation.table import (
    SEGMENTATION_FORMATS,
    find_segmentation_format,
    open_segmentation,
)
from swin_dense.datasets.formats.split_names import published_name
from swin_dense.datasets.formats.table import DETECTION_FORMATS
from swin_dense.datasets.images import read_image
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.masks import decompress, rasterise_polygons
from swin_dense.tools.report.folders.classification_folders import ClassificationFolders
from swin_dense.tools.report.folders.folder_facts import FolderFacts, FolderKind
from swin_dense.tools.tasks.drawing import Picture, draw_detections
from swin_dense.tools.tasks.label_map_pictures import class_colours, draw_with_legend


class DetectionFolders:
    """Detection data: the layouts of `datasets.formats.table`."""

    written_as = "coco"
    is_fallback = False

    def layouts(self) -> list[str]:
        """Names in `DETECTION_FORMATS`."""
        return list(DETECTION_FORMATS)

    def fits(self, root: Path, layout: str | None) -> bool:
        """Tell whether a layout of detection data is recognised, or named."""
        if layout is not None:
            return layout in DETECTION_FORMATS
        return open_detection_folder(root, layout).key is not None

    def describe(self, root: Path, layout: str | None) -> FolderFacts:
        """Count the annotations of every split."""
        folder = open_detection_folder(root, layout)
        read = {split: folder.read(split) for split in folder.splits}
        if not read:
            raise ValueError(
                f"{folder.root} must have a split that {folder.layout.name}'s layout can list, got "
                "none"
            )
        classes = {category.name: None for coco, _ in read.values() for category in coco.categories}
        notes = {
            note if len(read) == 1 else f"{split}: {note}": None
            for split, (coco, _) in read.items()
            for note in (
                *coco.notes,
                *(f"{n:,} {what} left out" for what, n in coco.left_out.items()),
            )
        }
        return FolderFacts(
            task="detection",
            layout=folder.key or "coco",
            layout_title=folder.layout.name,
            root=folder.root,
            class_names=tuple(classes),
            splits={split: _count(coco) for split, (coco, _) in read.items()},
            notes=tuple(notes),
            samples=partial(_draw_first, next(iter(read.items()))),
        )

    def write(self, root: Path, out: Path, flags: Any) -> None:
        """Write COCO's published layout: `train2017` and `val2017` for the splits of these kinds.

        With `val_fraction` or `val_list` the training split is written in two parts.
        """
        folder = open_detection_folder(root, flags.format)
        splits: dict[str, tuple[CocoFile, Path]] = {}
        divided = None
        if flags.val_fraction is not None or flags.val_list is not None:
            divided = folder.choose_split_to_divide("train2017", default="train2017")
        for split in folder.splits:
            parts: dict[str, Part | None] = {published_name(split): None}
            if split == divided:
                parts = _two_parts(flags)
            for name, part in parts.items():
                if name in splits:
                    raise ValueError(
                        f"splits must have names of different meaning, got "
                        f"{', '.join(folder.splits)} in {folder.root}"
                    )
                splits[name] = folder.read(split, part)
        write_coco(out, splits)


class SegmentationFolders:
    """Images and label maps: the layouts of `datasets.formats.segmentation.table`."""

    written_as = "ade20k"
    is_fallback = False

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


FOLDER_KINDS: dict[str, FolderKind] = {
    "detection": DetectionFolders(),
    "segmentation": SegmentationFolders(),
    "classification": ClassificationFolders(),
}


def find_folder_kinds(root: Path, layout: str | None) -> list[FolderKind]:
    """Kinds of data that a folder holds: one root may have a data set of each.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is none in it, or several readings of it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    kinds = [kind for kind in FOLDER_KINDS.values() if kind.fits(root, layout)]
    kinds = [kind for kind in kinds if not kind.is_fallback] or kinds
    if not kinds and layout is not None:
        raise ValueError(f"unknown layout {layout!r}; choose one of {', '.join(_layouts())}")
    if not kinds:
        there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
        more = ", ..." if len(there) > 8 else ""
        raise ValueError(
            f"{root} must hold data for {' or '.join(FOLDER_KINDS)} in a layout that is known, "
            f"found: {', '.join(there[:8]) or 'nothing'}{more}"
        )
    return kinds


def _layouts() -> list[str]:
    return [name for kind in FOLDER_KINDS.values() for name in kind.layouts()]


def _two_parts(flags: Any) -> dict[str, Part | None]:
    """The parts of a split to write, by COCO's names."""
    return {
        name: Part(is_for_validation=is_kept, fraction=flags.val_fraction, list_file=flags.val_list)
        for name, is_kept in (("train2017", False), ("val2017", True))
    }


def _count(coco: CocoFile) -> dict[str, Any]:
    counts = Counter(annotation.category_id for annotation in coco.annotations)
    classes = {category.name: counts[category.id] for category in coco.categories}
    return {
        "images": len(coco.images),
        "annotations": len(coco.annotations),
        "classes": classes,
    }


def _draw_first(
    split: tuple[str, tuple[CocoFile, Path]], most: int
) -> Iterator[tuple[Picture, str]]:
    """The first images of a split that have annotations."""
    name, (coco, folder) = split
    labels = {category.id: label for label, category in enumerate(coco.categories)}
    class_names = [category.name for category in coco.categories]
    annotated = {annotation.image_id for annotation in coco.annotations}
    for image in islice((image for image in coco.images if image.id in annotated), most):
        entries = [entry for entry in coco.annotations if entry.image_id == image.id]
        pixels = read_image(folder / image.file_name, stated_size=image.size)
        boxes = torch.tensor([entry.box for entry in entries])
        boxes[:, 2:] += boxes[:, :2]  # x, y, width, height -> xyxy
        objects = {
            "boxes": boxes,
            "labels": torch.tensor([labels[entry.category_id] for entry in entries]),
            "masks": torch.stack([_bitmap(entry, image.size) for entry in entries]),
        }
        drawn = draw_detections(torch.from_numpy(pixels).permute(2, 0, 1), objects, class_names)
        number = len(entries)
        caption = f"{name}: {image.file_name}, {number} object{'' if number == 1 else 's'}"
        yield drawn, caption


def _bitmap(entry: CocoAnnotation, size: tuple[int, int]) -> torch.Tensor:
    """Mask `(H, W)` bool of an annotation; empty where it has a box alone."""
    masks = [entry.run_lengths] if entry.run_lengths is not None else []
    if entry.polygons:
        masks = rasterise_polygons([entry.polygons], size)
    if not masks:
        return torch.zeros(size, dtype=torch.bool)
    return torch.from_numpy(decompress(masks)[0].copy())


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
