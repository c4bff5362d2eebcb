"""Folders of detection data."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.coco_writer import write_coco
from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.formats.parts import Part
from swin_dense.datasets.formats.split_names import published_name
from swin_dense.datasets.formats.table import DETECTION_FORMATS
from swin_dense.datasets.images import read_image
from swin_dense.datasets.masks import decompress, rasterise_polygons
from swin_dense.tools.report.folders.facts import FolderFacts, two_parts
from swin_dense.tools.tasks.drawing import Picture, draw_detections


class DetectionFolders:
    """Detection data: the layouts of `datasets.formats.table`."""

    written_as = "coco"

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
                parts = two_parts(flags)
            for name, part in parts.items():
                if name in splits:
                    raise ValueError(
                        f"splits must have names of different meaning, got "
                        f"{', '.join(folder.splits)} in {folder.root}"
                    )
                splits[name] = folder.read(split, part)
        write_coco(out, splits)


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
