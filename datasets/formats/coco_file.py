"""Reading and checking a COCO instances file (https://cocodataset.org/#format-data).

All faults of a file are reported together, with ids, before anything is made of it. Harmless
remains of an annotation tool (a polygon of two points) are left out and counted.
"""

from collections import Counter
from collections.abc import Callable
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
    is_whole,
    numbers_in,
    read_json,
    whole_number,
)
from swin_dense.datasets.masks import CompressedMask, compress_counts, decompress_counts
from swin_dense.datasets.samples import Size

_MAX_RUN = 2**53  # px; every whole number up to here is exact as a float
_FARTHEST = 1e7  # px; what boxes beyond this mean is lost in float32
_LARGEST_AREA = _FARTHEST**2


class CocoCategory(NamedTuple):
    """One class with its id in the file."""

    id: int
    name: str


class CocoAnnotation(NamedTuple):
    """One object, in px of the original image.

    `box` is x, y, width, height. `area` is the annotated one, or the box's where there is none.
    The mask is either `polygons`, each `(P, 2)` float64 with at least 3 points, or `run_lengths`,
    or absent.
    """

    id: int
    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool
    polygons: list[np.ndarray]
    run_lengths: CompressedMask | None

    @property
    def has_mask(self) -> bool:
        """False where there is a box alone."""
        return bool(self.polygons) or self.run_lengths is not None


class CocoFile(NamedTuple):
    """A checked file: `categories` by rising id; `left_out` counts the polygons that were.

    `notes` are sentences on how its layout was read, where that was not plain.
    """

    path: Path
    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: list[CocoAnnotation]
    left_out: Counter[str]
    notes: tuple[str, ...] = ()


def read_coco(
    path: str | Path,
    *,
    image_folder: Path | None = None,
    find_size: Callable[[str], Size | None] | None = None,
) -> CocoFile:
    """Read a COCO instances file and check all of it.

    Left out and counted: polygons of fewer than 3 points (or half a point), and polygons that reach
    further out of the image than the image is large.

    Args:
        path: the JSON file.
        image_folder: where the images must be; None does not look for them.
        find_size: of images for which the file states none, by file name; None where it cannot be
            found, which is a fault.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not a COCO instances file, or has faults (all are named): ids
            missing, not whole numbers or given twice; images without size or file name; annotations
            of unknown images or categories; boxes or masks that are malformed; missing images.
    """
    path = Path(path)
    sections = _read_sections(path)
    faults = Faults(path)
    if find_size is not None:
        _add_sizes(sections["images"], find_size)
    images = check_images(sections["images"], faults)
    categories = _check_categories(sections["categories"], faults)
    left_out: Counter[str] = Counter()
    annotations = _check_annotations(
        sections["annotations"],
        {image.id: image.size for image in images},
        {category.id for category in categories},
        faults,
        left_out,
    )
    if image_folder is not None:
        check_image_files(images, image_folder, faults)
    faults.raise_if_any()
    return CocoFile(path, images, sorted(categories), annotations, left_out)


def read_coco_images(path: str | Path) -> list[CocoImage]:
    """Read the images of a COCO file of any kind; annotations and categories may be missing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, names no images, or images are faulty as for `read_coco`.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise ValueError(f"{path} is not a COCO file: it has no list 'images'")
    if not content["images"]:
        raise ValueError(f"{path} must have at least one entry in 'images', got none")
    faults = Faults(path)
    images = check_images(content["images"], faults)
    faults.raise_if_any()
    return images


def _read_sections(path: Path) -> dict[str, list[Any]]:
    """The three lists of a COCO instances file."""
    content = read_json(path)
    for section in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise ValueError(f"{path} is not a COCO instances file: it has no list '{section}'")
    for section in ("images", "categories"):
        if not content[section]:
            raise ValueError(f"{path} must have at least one entry in '{section}', got none")
    if len(content["categories"]) > MAX_CATEGORIES:
        raise ValueError(
            f"{path} must have at most {MAX_CATEGORIES} categories, got "
            f"{len(content['categories'])}"
        )
    return content


def _add_sizes(entries: list[Any], find_size: Callable[[str], Size | None]) -> None:
    """Give images that have neither height nor width those that are found by their names."""
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or "\0" in name:
            continue
        if entry.get("height") is None and entry.get("width") is None:
            size = find_size(name)
            if size is not None:
                entry["height"], entry["width"] = size


def _check_categories(entries: list[Any], faults: Faults) -> list[CocoCategory]:
    categories = []
    for entry_id, entry in entries_with_id(entries, "categories", faults):
        name = entry.get("name")
        if fault := find_fault_of_name(name):
            faults.add(f"categories {fault}", entry_id)
        categories.append(CocoCategory(entry_id, str(name)))
    return categories


def _check_annotations(
    entries: list[Any],
    sizes: dict[int, Size],
    category_ids: set[int],
    faults: Faults,
    left_out: Counter[str],
) -> list[CocoAnnotation]:
    annotations = []
    for entry_id, entry in entries_with_id(entries, "annotations", faults):
        try:
            annotations.append(_check_annotation(entry_id, entry, sizes, category_ids, left_out))
        except ValueError as error:
            faults.add(f"annotations {error}", entry_id)
        entry.clear()  # lists of numbers take many times the memory of the arrays made of them
    return annotations


def _check_annotation(
    entry_id: int,
    entry: dict[str, Any],
    sizes: dict[int, Size],
    category_ids: set[int],
    left_out: Counter[str],
) -> CocoAnnotation:
    """One annotation; the message of an error goes on from "annotations"."""
    image_id, category_id = (whole_number(entry.get(key)) for key in ("image_id", "category_id"))
    if image_id is None or image_id not in sizes:
        raise ValueError("of an unknown image")
    if category_id is None or category_id not in category_ids:
        raise ValueError("of an unknown category")
    box = numbers_in(entry.get("bbox"))
    if box is None or len(box) != 4:
        raise ValueError("whose bbox is not four finite numbers")
    if np.abs(box).max() > _FARTHEST:
        raise ValueError(f"whose bbox has a number beyond {_FARTHEST:.0e} px")
    x, y, width, height = box.tolist()
    area = width * height if entry.get("area") is None else finite_number(entry["area"])
    if area is None:
        raise ValueError("whose area is not a finite number")
    if abs(area) > _LARGEST_AREA:
        raise ValueError(f"whose area is beyond {_LARGEST_AREA:.0e} square px")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise ValueError("whose iscrowd is not 0 or 1")
    segmentation = entry.get("segmentation")
    polygons: list[np.ndarray] = []
    run_lengths = None
    if isinstance(segmentation, dict):
        run_lengths = check_run_lengths(segmentation, sizes[image_id])
    elif segmentation is not None:
        polygons = _check_polygons(segmentation, sizes[image_id], left_out)
    return CocoAnnotation(
        id=entry_id,
        image_id=image_id,
        category_id=category_id,
        box=(x, y, width, height),
        area=area,
        is_crowd=bool(entry.get("iscrowd", 0)),
        polygons=polygons,
        run_lengths=run_lengths,
    )


def _check_polygons(value: Any, size: Size, left_out: Counter[str]) -> list[np.ndarray]:
    """The usable parts of a polygon mask, each `(P, 2)`."""
    if not isinstance(value, list):
        raise ValueError("whose segmentation is neither polygons nor run lengths")
    polygons = []
    largest = np.array([size.width, size.height])
    for part in value:
        numbers = numbers_in(part)
        if numbers is None:
            raise ValueError("whose segmentation has a polygon that is no list of finite numbers")
        if len(numbers) < 6 or len(numbers) % 2:
            left_out["polygons of fewer than 3 points"] += 1
            continue
        points = numbers.reshape(-1, 2)  # (P, 2)
        # Drawing takes memory by a polygon's length, and this far out it has no meaning.
        if (np.abs(points - largest / 2) > 1.5 * largest).any():
            left_out["polygons far outside the image"] += 1
            continue
        polygons.append(points)
    return polygons


def check_run_lengths(value: Any, size: tuple[int, int]) -> CompressedMask:
    """Check a mask in run lengths, compressed or not, before pycocotools trusts it.

    Args:
        value: a file's entry, `{"size": [height, width], "counts": ...}`.
        size: `(height, width)` of its image, px.

    Raises:
        ValueError: it is none, or not one of that size; the message goes on from "annotations".
    """
    if not isinstance(value, dict) or value.get("size") != list(size):
        raise ValueError("whose run lengths are not of their image's size")
    counts = value.get("counts")
    if isinstance(counts, (str, bytes)):
        try:
            runs = decompress_counts(counts.encode("ascii") if isinstance(counts, str) else counts)
        except ValueError as error:
            raise ValueError("whose run lengths cannot be decompressed") from error
    elif isinstance(counts, list) and all(is_whole(run) for run in counts):
        runs = np.array([float(max(-1, min(run, _MAX_RUN))) for run in counts])
    else:
        raise ValueError("whose run lengths are neither a string nor a list of whole numbers")
    num_pixels = size[0] * size[1]
    if (runs < 0).any() or runs.sum() != num_pixels:
        raise ValueError("whose run lengths do not sum to height * width of their image")
    return compress_counts(runs.astype(np.int64), size)
