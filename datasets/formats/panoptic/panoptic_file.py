"""Reading and checking a COCO panoptic file (https://cocodataset.org/#format-data, section 4).

All faults of a file are reported together, with ids, before a PNG is decoded.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swin_dense.datasets.categories import MAX_CATEGORIES, find_fault_of_name
from swin_dense.datasets.formats.coco_entries import (
    SECTIONS,
    CocoImage,
    Faults,
    check_image_files,
    check_images,
    entries_with_id,
    finite_number,
    read_json,
    whole_number,
)
from swin_dense.datasets.formats.panoptic.segment_pngs import MAX_SEGMENT_ID, read_png_size
from swin_dense.datasets.samples import Segment

UNKNOWN_AREA = -1  # of a segment whose file states none
_MAX_SEGMENTS = 2**16 - 2  # of one image
_NUM_READERS = 16  # threads


class PanopticCategory(NamedTuple):
    """One class with its id in the file; things are counted, stuff is not."""

    id: int
    name: str
    is_thing: bool
    colour: tuple[int, int, int] | None


class PanopticFile(NamedTuple):
    """A checked file.

    Attributes:
        path: of the JSON file.
        images: in the file's order; ids are numbers, or names as in ADE20K's.
        png_names: of each image.
        categories: by rising id; a label is the place among them.
        segments: of each image.
    """

    path: Path
    images: list[CocoImage]
    png_names: list[str]
    categories: list[PanopticCategory]
    segments: "SegmentTable"

    def take(self, places: Sequence[int]) -> "PanopticFile":
        """The file with the images at some places alone."""
        return self._replace(
            images=[self.images[place] for place in places],
            png_names=[self.png_names[place] for place in places],
            segments=self.segments.take(places),
        )


class SegmentTable:
    """The segments of all images in a few flat arrays, which worker processes share."""

    def __init__(self, images: list[np.ndarray]) -> None:
        """Pack `(G, 4)` int64 of each image: id, label, area, crowd."""
        self._rows = np.concatenate([np.zeros((0, 4), np.int64), *images])
        self._ends = np.cumsum([0, *map(len, images)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> list[Segment]:
        """The segments of the image at `index`."""
        rows = self._rows[self._ends[index] : self._ends[index + 1]].tolist()
        return [Segment(i, label, area, bool(crowd)) for i, label, area, crowd in rows]

    def take(self, places: Sequence[int]) -> "SegmentTable":
        """The segments of the images at some places."""
        return SegmentTable([self._rows[self._ends[i] : self._ends[i + 1]] for i in places])

    def count_labels(self, num_classes: int) -> np.ndarray:
        """`(K,)`: segments of each class."""
        return np.bincount(self._rows[:, 1], minlength=num_classes)


def read_panoptic(
    path: str | Path, *, png_folder: Path, image_folder: Path | None = None
) -> PanopticFile:
    """Read a COCO panoptic file and check it and its PNGs' headers.

    Args:
        path: the JSON file.
        png_folder: where the PNGs are.
        image_folder: where the images must be; None does not look for them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not a COCO panoptic file, or has faults (all are named): ids
            missing or given twice; images without size, file name or segments; segments of unknown
            categories; missing images; PNGs that are missing or of another size than their image.
    """
    path = Path(path)
    content = _read_sections(path)
    faults = Faults(path)
    images = check_images(content["images"], faults, read_id=_read_image_id)
    categories = sorted(_check_categories(content["categories"], faults))
    annotations = _check_annotations(content["annotations"], images, categories, faults)
    annotated = [image for image in images if image.id in annotations]
    for image in images:
        if image.id not in annotations:
            faults.add("images without an annotation", image.id)
    png_names = [annotations[image.id][0] for image in annotated]
    if image_folder is not None:
        check_image_files(images, image_folder, faults)
    _check_pngs(annotated, png_names, png_folder, faults)
    faults.raise_if_any()
    table = SegmentTable([annotations[image.id][1] for image in images])
    return PanopticFile(path, images, png_names, categories, table)


def is_panoptic_content(content: Any) -> bool:
    """Tell whether a file's content is that of a COCO panoptic file, by its first annotation."""
    annotations = content.get("annotations") if isinstance(content, dict) else None
    return (
        isinstance(annotations, list)
        and bool(annotations)
        and isinstance(annotations[0], dict)
        and "segments_info" in annotations[0]
    )


def _read_sections(path: Path) -> dict[str, list[Any]]:
    content = read_json(path)
    for section in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise ValueError(f"{path} is not a COCO panoptic file: it has no list '{section}'")
        if not content[section]:
            raise ValueError(f"{path} must have at least one entry in '{section}', got none")
    if len(content["categories"]) > MAX_CATEGORIES:
        raise ValueError(
            f"{path} must have at most {MAX_CATEGORIES} categories, got "
            f"{len(content['categories'])}"
        )
    if not is_panoptic_content(content):
        raise ValueError(
            f"{path} is not a COCO panoptic file: its annotations have no 'segments_info'"
        )
    return content


def _read_image_id(value: Any) -> int | str | None:
    """A whole number, or a name as ADE20K's panoptic files have it."""
    if isinstance(value, str):
        return value or None
    return whole_number(value)


def _check_categories(entries: list[Any], faults: Faults) -> list[PanopticCategory]:
    categories = []
    for entry_id, entry in entries_with_id(entries, "categories", faults):
        name = entry.get("name")
        if fault := find_fault_of_name(name):
            faults.add(f"categories {fault}", entry_id)
        if entry.get("isthing") not in (0, 1):
            faults.add("categories whose isthing is not 0 or 1", entry_id)
        colour = _read_colour(entry.get("color"))
        categories.append(PanopticCategory(entry_id, str(name), entry.get("isthing") == 1, colour))
    return categories


def _read_colour(value: Any) -> tuple[int, int, int] | None:
    """RGB 0..255; None where a file has none, or something else."""
    parts = [whole_number(part) for part in value] if isinstance(value, list) else []
    if len(parts) != 3 or any(part is None or not 0 <= part <= 255 for part in parts):
        return None
    red, green, blue = (int(part or 0) for part in parts)
    return red, green, blue


def _check_annotations(
    entries: list[Any],
    images: list[CocoImage],
    categories: list[PanopticCategory],
    faults: Faults,
) -> dict[int | str, tuple[str, np.ndarray]]:
    """PNG name and segments of each image."""
    known = {image.id for image in images}
    labels = {category.id: label for label, category in enumerate(categories)}
    checked: dict[int | str, tuple[str, np.ndarray]] = {}
    found = entries_with_id(entries, "annotations", faults, key="image_id", read_id=_read_image_id)
    for image_id, entry in found:
        if image_id not in known:
            faults.add("annotations of an unknown image", image_id)
            continue
        name = entry.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            faults.add("annotations without a file_name", image_id)
            name = ""
        segments = entry.get("segments_info")
        if not isinstance(segments, list) or len(segments) > _MAX_SEGMENTS:
            faults.add(
                f"annotations whose segments_info is no list of at most {_MAX_SEGMENTS}", image_id
            )
            segments = []
        checked[image_id] = (name, _check_segments(segments, image_id, labels, faults))
        entry.clear()  # of a large set the arrays take a tenth of the memory
    return checked


def _check_segments(
    entries: list[Any], image_id: int | str, labels: dict[int, int], faults: Faults
) -> np.ndarray:
    """`(G, 4)` int64: id, label, area, crowd."""
    rows: dict[int, tuple[int, int, int, int]] = {}
    for position, entry in enumerate(entries):
        where = f"#{position} of image {image_id}"
        segment_id = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if segment_id is None or not 1 <= segment_id <= MAX_SEGMENT_ID:
            faults.add(f"segments without a whole number in 1..{MAX_SEGMENT_ID} as id", where)
            continue
        where = f"{segment_id} of image {image_id}"
        if segment_id in rows:
            faults.add("segments with the id of another in their image", where)
            continue
        label = labels.get(whole_number(entry.get("category_id")) or 0)
        if whole_number(entry.get("category_id")) is None or label is None:
            faults.add("segments of an unknown category", where)
            label = 0
        if entry.get("iscrowd", 0) not in (0, 1):
            faults.add("segments whose iscrowd is not 0 or 1", where)
        area = UNKNOWN_AREA if entry.get("area") is None else finite_number(entry["area"])
        if area is None or not (area == UNKNOWN_AREA or 0 <= area < 2**53):
            faults.add("segments whose area is not a number of px", where)
            area = 0
        rows[segment_id] = (segment_id, label, int(area), int(entry.get("iscrowd", 0) == 1))
    return np.array(list(rows.values()), np.int64).reshape(-1, 4)


def _check_pngs(
    images: list[CocoImage], png_names: list[str], folder: Path, faults: Faults
) -> None:
    """Every PNG is there and of its image's size, by its header."""
    present: dict[str, set[str]] = {}
    found = []
    for image, png_name in zip(images, png_names, strict=True):
        parent, name = os.path.split(png_name)
        if parent not in present:
            directory = folder / parent
            present[parent] = set(os.listdir(directory)) if directory.is_dir() else set()
        if png_name and name not in present[parent]:
            faults.add(f"PNGs missing in {folder}", f"{png_name} of image {image.id}")
        elif png_name:
            found.append((image, png_name))

    def check(pair: tuple[CocoImage, str]) -> tuple[str, str] | None:
        image, png_name = pair
        try:
            size = read_png_size(folder / png_name)
        except (ValueError, OSError) as error:
            return "PNGs that cannot be read", str(error)
        if size == image.size:
            return None
        return (
            "PNGs of another size than their image",
            f"{png_name} has {size.width} x {size.height} px and image {image.id} has "
            f"{image.size.width} x {image.size.height}",
        )

    with ThreadPoolExecutor(max_workers=_NUM_READERS) as pool:
        for fault in pool.map(check, found):
            if fault is not None:
                faults.add(*fault)
