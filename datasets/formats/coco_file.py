"""Reading and checking a COCO instances file (https://cocodataset.org/#format-data).

All faults of a file are reported together, with ids, before anything is made of it. Harmless
remains of an annotation tool (a polygon of two points) are left out and counted.
"""

import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swin_dense.datasets.categories import MAX_CATEGORIES, find_fault_of_name
from swin_dense.datasets.files import read_text
from swin_dense.datasets.images import check_pixels
from swin_dense.datasets.masks import CompressedMask, compress_counts, decompress_counts
from swin_dense.datasets.samples import Size

_SECTIONS = ("images", "annotations", "categories")
_MAX_NAMED = 20  # so many ids of one kind of fault are written out
_MAX_RUN = 2**53  # px; every whole number up to here is exact as a float
_MAX_INTEGER = 2**63  # ids from here on have no place in a tensor
_FARTHEST = 1e7  # px; what boxes beyond this mean is lost in float32
_LARGEST_AREA = _FARTHEST**2


class CocoImage(NamedTuple):
    """One image; `size` is that of the image the annotations were drawn on, px."""

    id: int
    file_name: str
    size: Size


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
    faults = _Faults(path)
    if find_size is not None:
        _add_sizes(sections["images"], find_size)
    images = _check_images(sections["images"], faults)
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
        _check_image_files(images, image_folder, faults)
    faults.raise_if_any()
    return CocoFile(path, images, sorted(categories), annotations, left_out)


def read_coco_images(path: str | Path) -> list[CocoImage]:
    """Read the images of a COCO file of any kind; annotations and categories may be missing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, names no images, or images are faulty as for `read_coco`.
    """
    path = Path(path)
    content = _read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise ValueError(f"{path} is not a COCO file: it has no list 'images'")
    if not content["images"]:
        raise ValueError(f"{path} must have at least one entry in 'images', got none")
    faults = _Faults(path)
    images = _check_images(content["images"], faults)
    faults.raise_if_any()
    return images


class _Faults:
    """Collects the faults of a file, to report all of them in one line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kinds: defaultdict[str, list[object]] = defaultdict(list)

    def add(self, kind: str, where: object) -> None:
        """Note a fault; `where` is an id, or `#5` for the sixth entry of a list."""
        self.kinds[kind].append(where)

    def raise_if_any(self) -> None:
        """Raise a ValueError that names every kind, its count and the first ids."""
        if not self.kinds:
            return
        reports = []
        for kind, places in self.kinds.items():
            named = ", ".join(str(place) for place in places[:_MAX_NAMED])
            more = ", ..." if len(places) > _MAX_NAMED else ""
            reports.append(f"{kind}: {len(places)} ({named}{more})")
        raise ValueError(f"{self.path} cannot be used; " + "; ".join(reports))


def _read_sections(path: Path) -> dict[str, list[Any]]:
    """The three lists of a COCO instances file."""
    content = _read_json(path)
    for section in _SECTIONS:
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


def _read_json(path: Path) -> Any:
    text = read_text(path, "annotation file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error
    _refuse_repeated_sections(text, path)
    return content


def _refuse_repeated_sections(text: str, path: Path) -> None:
    """Refuse a file with two lists of one name, of which a JSON reader keeps the last."""
    if all(len(re.findall(rf'"{section}"\s*:', text)) < 2 for section in _SECTIONS):
        return

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, value in pairs if name in _SECTIONS and isinstance(value, list)]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{path} must have one list '{min(repeated)}', got several")
        return dict(pairs)

    json.loads(text, object_pairs_hook=check)


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


def _check_images(entries: list[Any], faults: _Faults) -> list[CocoImage]:
    images = []
    for entry_id, entry in _entries_with_id(entries, "images", faults):
        file_name = entry.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            faults.add("images without file_name", entry_id)
            file_name = ""
        if "\0" in file_name:
            faults.add("images with a zero byte in file_name", entry_id)
            file_name = ""
        height, width = (
            _whole_number(entry.get("height")),
            _whole_number(entry.get("width")),
        )
        if height is None or width is None or min(height, width) < 1:
            faults.add("images without width and height in whole px of at least 1", entry_id)
            height, width = 1, 1
        try:
            check_pixels((height, width), f"image {entry_id}")
        except ValueError as error:
            faults.add("images that are too large", error)
            height, width = 1, 1
        images.append(CocoImage(entry_id, file_name, Size(height, width)))
    return images


def _check_categories(entries: list[Any], faults: _Faults) -> list[CocoCategory]:
    categories = []
    for entry_id, entry in _entries_with_id(entries, "categories", faults):
        name = entry.get("name")
        if fault := find_fault_of_name(name):
            faults.add(f"categories {fault}", entry_id)
        categories.append(CocoCategory(entry_id, str(name)))
    return categories


def _check_annotations(
    entries: list[Any],
    sizes: dict[int, Size],
    category_ids: set[int],
    faults: _Faults,
    left_out: Counter[str],
) -> list[CocoAnnotation]:
    annotations = []
    for entry_id, entry in _entries_with_id(entries, "annotations", faults):
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
    image_id, category_id = (_whole_number(entry.get(key)) for key in ("image_id", "category_id"))
    if image_id is None or image_id not in sizes:
        raise ValueError("of an unknown image")
    if category_id is None or category_id not in category_ids:
        raise ValueError("of an unknown category")
    box = _numbers(entry.get("bbox"))
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


def _entries_with_id(
    entries: list[Any], section: str, faults: _Faults
) -> list[tuple[int, dict[str, Any]]]:
    """The entries that are objects with a unique id; the others are faults."""
    checked: dict[int, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        entry_id = _whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if entry_id is None:
            faults.add(f"{section} without a whole number as id", f"#{position}")
        elif entry_id in checked:
            faults.add(f"{section} with the id of another", entry_id)
        else:
            checked[entry_id] = entry
    return list(checked.items())


def _check_polygons(value: Any, size: Size, left_out: Counter[str]) -> list[np.ndarray]:
    """The usable parts of a polygon mask, each `(P, 2)`."""
    if not isinstance(value, list):
        raise ValueError("whose segmentation is neither polygons nor run lengths")
    polygons = []
    largest = np.array([size.width, size.height])
    for part in value:
        numbers = _numbers(part)
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
    elif isinstance(counts, list) and all(_is_whole(run) for run in counts):
        runs = np.array([float(max(-1, min(run, _MAX_RUN))) for run in counts])
    else:
        raise ValueError("whose run lengths are neither a string nor a list of whole numbers")
    num_pixels = size[0] * size[1]
    if (runs < 0).any() or runs.sum() != num_pixels:
        raise ValueError("whose run lengths do not sum to height * width of their image")
    return compress_counts(runs.astype(np.int64), size)


def _check_image_files(images: list[CocoImage], folder: Path, faults: _Faults) -> None:
    """Look for every image file; listing folders is faster than asking for each file."""
    present: dict[str, set[str]] = {}
    for image in images:
        parent, name = os.path.split(image.file_name)
        if parent not in present:
            directory = folder / parent
            present[parent] = set(os.listdir(directory)) if directory.is_dir() else set()
        if image.file_name and name not in present[parent]:
            faults.add(f"image files missing in {folder}", f"{image.file_name} of image {image.id}")


def _whole_number(value: Any) -> int | None:
    """An integer that a tensor can hold, also where a tool wrote it as `5.0`; None for others."""
    return int(value) if _is_whole(value) and abs(value) < _MAX_INTEGER else None


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def finite_number(value: Any) -> float | None:
    """A finite number as a float; None for anything else a file may hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond every float
        return None


def _numbers(value: Any) -> np.ndarray | None:
    """A list of finite numbers as float64; None for anything else."""
    if not isinstance(value, list):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths in it
        return None
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return array.astype(np.float64)
