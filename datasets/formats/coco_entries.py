"""Parts that COCO files of every kind have: JSON, entries with ids, images; and faults in them."""

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swin_dense.datasets.files import read_text
from swin_dense.datasets.images import check_pixels
from swin_dense.datasets.samples import Size

SECTIONS = ("images", "annotations", "categories")
_MAX_NAMED = 20  # so many ids of one kind of fault are written out
_MAX_INTEGER = 2**63  # ids from here on have no place in a tensor


class CocoImage(NamedTuple):
    """One image; `size` is that of the image the annotations were drawn on, px."""

    id: int
    file_name: str
    size: Size


def whole_number(value: Any) -> int | None:
    """An integer that a tensor can hold, also where a tool wrote it as `5.0`; None for others."""
    return int(value) if is_whole(value) and abs(value) < _MAX_INTEGER else None


def is_whole(value: Any) -> bool:
    """Tell whether a value of a file is a whole number, as an integer or as a float."""
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


class Faults:
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


def read_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8; ValueError where it is none."""
    text = read_text(path, "annotation file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error
    _refuse_repeated_sections(text, path)
    return content


def check_images(
    entries: list[Any], faults: Faults, *, read_id: Callable[[Any], Any] = whole_number
) -> list[CocoImage]:
    """The images, those at fault with a stand-in for what is missing."""
    images = []
    for entry_id, entry in entries_with_id(entries, "images", faults, read_id=read_id):
        file_name = entry.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            faults.add("images without file_name", entry_id)
            file_name = ""
        if "\0" in file_name:
            faults.add("images with a zero byte in file_name", entry_id)
            file_name = ""
        height, width = (
            whole_number(entry.get("height")),
            whole_number(entry.get("width")),
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


def check_image_files(images: list[CocoImage], folder: Path, faults: Faults) -> None:
    """Look for every image file; listing folders is faster than asking for each file."""
    present: dict[str, set[str]] = {}
    for image in images:
        parent, name = os.path.split(image.file_name)
        if parent not in present:
            directory = folder / parent
            present[parent] = set(os.listdir(directory)) if directory.is_dir() else set()
        if image.file_name and name not in present[parent]:
            faults.add(f"image files missing in {folder}", f"{image.file_name} of image {image.id}")


def entries_with_id(
    entries: list[Any],
    section: str,
    faults: Faults,
    *,
    key: str = "id",
    read_id: Callable[[Any], Any] = whole_number,
) -> list[tuple[Any, dict[str, Any]]]:
    """The entries that are objects with a unique id; the others are faults.

    Args:
        entries: of a list of the file.
        section: its name, for messages.
        faults: where they are noted.
        key: that holds the id.
        read_id: gives the id for a value, or None for what is none.
    """
    checked: dict[Any, dict[str, Any]] = {}
    kind = "a whole number" if read_id is whole_number else "a whole number or a name"
    for position, entry in enumerate(entries):
        entry_id = read_id(entry.get(key)) if isinstance(entry, dict) else None
        if entry_id is None:
            faults.add(f"{section} without {kind} as {key}", f"#{position}")
        elif entry_id in checked:
            faults.add(f"{section} with the {key} of another", entry_id)
        else:
            checked[entry_id] = entry
    return list(checked.items())


def numbers_in(value: Any) -> np.ndarray | None:
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


def _refuse_repeated_sections(text: str, path: Path) -> None:
    """Refuse a file with two lists of one name, of which a JSON reader keeps the last."""
    if all(len(re.findall(rf'"{section}"\s*:', text)) < 2 for section in SECTIONS):
        return

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, value in pairs if name in SECTIONS and isinstance(value, list)]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{path} must have one list '{min(repeated)}', got several")
        return dict(pairs)

    json.loads(text, object_pairs_hook=check)
