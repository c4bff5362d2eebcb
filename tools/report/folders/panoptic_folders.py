"""Folders of panoptic data: COCO's format, of COCO or of ADE20K."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.formats.panoptic.panoptic_layout import (
    find_split_to_divide,
    is_panoptic_layout,
    list_panoptic_splits,
)
from swin_dense.datasets.formats.panoptic.panoptic_writer import write_coco_panoptic
from swin_dense.datasets.formats.parts import Part
from swin_dense.datasets.formats.split_names import published_name
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.tools.report.folders.facts import FolderFacts, two_parts
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.panoptic.panoptic_pictures import draw_segments, segment_colours

_LAYOUT = "coco_panoptic"


class PanopticFolders:
    """Panoptic data in COCO's format."""

    written_as = _LAYOUT

    def layouts(self) -> list[str]:
        """The one format."""
        return [_LAYOUT]

    def fits(self, root: Path, layout: str | None) -> bool:
        """Tell whether there are panoptic annotations, or the format is named."""
        return is_panoptic_layout(root) if layout is None else layout == _LAYOUT

    def describe(self, root: Path, layout: str | None) -> FolderFacts:
        """Count the segments of every split."""
        splits = _read(root)
        first = next(iter(splits.values()))
        names = {name: None for dataset in splits.values() for name in dataset.class_names}
        pairs = zip(first.class_names, first.is_thing, strict=True)
        stuff = [name for name, is_thing in pairs if not is_thing]
        return FolderFacts(
            task="panoptic",
            layout=_LAYOUT,
            layout_title="COCO panoptic",
            root=root,
            class_names=tuple(names),
            splits={split: _count(dataset) for split, dataset in splits.items()},
            notes=(f"stuff: {', '.join(stuff) or 'none'}",),
            samples=partial(_draw_first, *next(iter(splits.items()))),
        )

    def write(self, root: Path, out: Path, flags: Any) -> None:
        """Write COCO's published layout: `train2017` and `val2017` for the splits of these kinds.

        With `val_fraction` or `val_list` the training split is written in two parts.
        """
        divided = None
        if flags.val_fraction is not None or flags.val_list is not None:
            divided = find_split_to_divide(root, "train2017")
        written: dict[str, CocoPanoptic] = {}
        for split in list_panoptic_splits(root):
            parts: dict[str, Part | None] = {published_name(split): None}
            if split == divided:
                parts = two_parts(flags)
            for name, part in parts.items():
                written[name] = _open(root, split, part)
        write_coco_panoptic(out, written)


def _open(root: Path, split: str, part: Part | None = None) -> CocoPanoptic:
    return CocoPanoptic(root, split, transforms=Pipeline([]), part=part)


def _read(root: Path) -> dict[str, CocoPanoptic]:
    """Every split.

    Raises:
        ValueError: there is none, or a file has faults.
    """
    splits = {split: _open(root, split) for split in list_panoptic_splits(root)}
    if not splits:
        raise ValueError(
            f"{root} must have annotations/panoptic_SPLIT.json or ade20k_panoptic_SPLIT.json, got "
            "neither"
        )
    return splits


def _count(dataset: CocoPanoptic) -> dict[str, Any]:
    counts = dataset.segment_counts
    return {
        "images": len(dataset),
        "annotations": int(counts.sum()),
        "classes": dict(zip(dataset.class_names, counts.tolist(), strict=True)),
    }


def _draw_first(split: str, dataset: CocoPanoptic, most: int) -> Iterator[tuple[Picture, str]]:
    """The first images of a split with their segments."""
    colours = segment_colours(len(dataset.class_names), dataset.colours)
    for index in islice(range(len(dataset)), most):
        ids, segments = dataset.load_segments(index)
        drawn = draw_segments(
            torch.from_numpy(np.ascontiguousarray(dataset.load_image(index))).permute(2, 0, 1),
            ids,
            segments,
            class_names=dataset.class_names,
            is_thing=dataset.is_thing,
            colours=colours,
        )
        number = len(segments)
        name = dataset.file_names[index]
        yield drawn, f"{split}: {name}, {number} segment{'' if number == 1 else 's'}"
