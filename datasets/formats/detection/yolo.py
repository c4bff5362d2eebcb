"""YOLO's layout: `data.yaml`, and a text file of boxes or outlines for each image.

A line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 ...`, all in shares of width and height,
classes from 0. An image without a file has no objects. The last `images` in an image's path is
`labels` in its label's; images that are in no such folder have their labels beside them.
"""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoCategory, CocoFile
from swin_dense.datasets.formats.detection.instance_masks import (
    annotation_of_box,
    annotation_of_polygons,
    number_annotations,
)
from swin_dense.datasets.formats.folders import entries, find_images, is_image_name
from swin_dense.datasets.formats.split_names import WHOLE, order_splits
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.samples import Size

_KEYS = ("train", "val", "validation", "valid", "test")
_SLACK = 0.01  # beyond 0..1, as ultralytics allows
_MAX_NAMED = 10


def is_yolo(root: Path) -> bool:
    """Tell whether a folder has YOLO's table of names beside images with text labels."""
    if not root.is_dir() or _find_table(root) is None:
        return False
    return any(root.glob("labels/**/*.txt")) or any(
        _label_file(image, root).is_file() for image in find_images(root)
    )


def list_yolo_splits(root: Path) -> list[str]:
    """Splits that `data.yaml` names; the whole where there is only `classes.txt`."""
    content = _read_yaml(root)
    return order_splits([key for key in _KEYS if content.get(key)]) or [WHOLE]


def read_yolo(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a split; the folder is the root.

    Category ids are the classes' numbers plus 1.

    Raises:
        FileNotFoundError: there is no such split, or it names folders or files that are not there.
        ValueError: the table of names or a label cannot be read; all lines at fault are named.
    """
    if split not in list_yolo_splits(root):
        there = ", ".join(list_yolo_splits(root))
        raise FileNotFoundError(f"no split '{split}' in {root}; splits there: {there}")
    names = _read_names(root)
    faults: list[str] = []
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    num_unlabelled = 0
    for path in _list_images(root, split):
        size = image_size(read_image(path))
        image_id = len(images) + 1
        images.append(CocoImage(image_id, path.relative_to(root).as_posix(), size))
        labels = _label_file(path, root)
        if not labels.is_file():
            num_unlabelled += 1
            continue
        annotations += _read_labels(labels, image_id, size, names, faults)
    if faults:
        more = f"; and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise ValueError(
            f"{root} cannot be used, {len(faults)} lines at fault: "
            f"{'; '.join(faults[:_MAX_NAMED])}{more}"
        )
    if not images:
        raise ValueError(f"{root} must have images in split {split!r}, got none")
    if num_unlabelled == len(images):
        raise ValueError(
            f"{root} must have label files for split {split!r}, got none for {len(images)} images; "
            f"the first was looked for at {_label_file(root / images[0].file_name, root)}"
        )
    notes = (
        (f"{num_unlabelled} images without a label file are taken as without objects",)
        if num_unlabelled
        else ()
    )
    categories = [CocoCategory(number + 1, name) for number, name in sorted(names.items())]
    numbered = number_annotations(annotations)
    table = _find_table(root) or root
    return CocoFile(table, images, categories, numbered, Counter(), notes), root


def _find_table(root: Path) -> Path | None:
    """The file with the names of the classes."""
    files = [path for path in entries(root) if path.is_file()]
    tables = [path for path in files if path.suffix in (".yaml", ".yml")]
    for path in sorted(tables, key=lambda path: path.stem != "data"):
        content = _load_yaml(path)
        if isinstance(content, dict) and "names" in content:
            return path
    return next((path for path in files if path.name in ("classes.txt", "obj.names")), None)


def _load_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _read_yaml(root: Path) -> dict[str, Any]:
    """Content of the yaml file with the names; empty where the names are in a text file."""
    table = _find_table(root)
    return (
        _load_yaml(table)
        if table is not None and table.suffix != ".txt" and (table.suffix != ".names")
        else {}
    )


def _read_names(root: Path) -> dict[int, str]:
    """Class names by their numbers."""
    table = _find_table(root)
    if table is None:
        raise FileNotFoundError(f"{root} must have data.yaml with names, or classes.txt")
    if table.suffix in (".txt", ".names"):
        lines = table.read_text(encoding="utf-8-sig").splitlines()
        names: Any = [line.strip() for line in lines if line.strip()]
    else:
        names = _load_yaml(table)["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ValueError(f"names must be a list or numbers with names, got {names!r} in {table}")
    if not all(isinstance(key, int) and key >= 0 for key in names):
        raise ValueError(f"names must have whole numbers from 0 up, got {list(names)} in {table}")
    return {number: str(name) for number, name in names.items()}


def _list_images(root: Path, split: str) -> list[Path]:
    """Images of a split, inside the root."""
    content = _read_yaml(root)
    if split == WHOLE and not any(content.get(key) for key in _KEYS):
        return find_images(root)
    value = content[split]
    places = value if isinstance(value, list) else [value]
    found: list[Path] = []
    for place in places:
        path = _find_place(root, content.get("path"), str(place))
        found += _read_list(root, path) if path.suffix == ".txt" else find_images(path)
    return sorted(dict.fromkeys(found))


def _find_place(root: Path, base: Any, place: str) -> Path:
    """A folder or list that `data.yaml` names; `../train` is `train` where Roboflow wrote it."""
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    bases = [root / str(base)] if isinstance(base, str) and base not in ("", ".") else []
    for start in (*bases, root):
        for first in range(len(parts)):
            path = start.joinpath(*parts[first:])
            if path.exists() and path.resolve().is_relative_to(root.resolve()):
                return root / path.resolve().relative_to(root.resolve())
    raise FileNotFoundError(f"{root} has no {place}, which its data.yaml names")


def _read_list(root: Path, path: Path) -> list[Path]:
    """Images of a list, a path a line: from the list's folder, or with folders above left out."""
    found = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if line.strip() and is_image_name(line.strip()):
            found.append(_find_place(root, None, line.strip()))
    return found


def _label_file(image: Path, root: Path) -> Path:
    parts = list(image.relative_to(root).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            return root.joinpath(*parts).with_suffix(".txt")
    return image.with_suffix(".txt")


def _read_labels(
    path: Path, image_id: int, size: Size, names: dict[int, str], faults: list[str]
) -> Iterable[CocoAnnotation]:
    """Objects of one image; lines at fault are noted."""
    found = []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(dict.fromkeys(text.splitlines()), start=1):
        words = line.split()
        if not words:
            continue
        try:
            found.append(_read_line(words, image_id, size, names))
        except ValueError as error:
            faults.append(f"{path}, line {number}: {error}")
    return found


def _read_line(
    words: list[str], image_id: int, size: Size, names: dict[int, str]
) -> CocoAnnotation:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"numbers must stand there, got {' '.join(words[:6])!r}") from None
    label, shares = values[0], np.array(values[1:])
    if not math.isfinite(label) or label != int(label) or int(label) not in names:
        raise ValueError(f"the class must be one of {min(names)}..{max(names)}, got {words[0]}")
    if not np.isfinite(shares).all() or ((shares < -_SLACK) | (shares > 1 + _SLACK)).any():
        raise ValueError("coordinates must be shares of the image in 0..1; are they px?")
    category_id, scale = int(label) + 1, np.array([size.width, size.height])
    if len(shares) in (4, 5):  # a fifth is a track's number or a score
        centre, extent = shares[:2] * scale, shares[2:4] * scale
        x, y = (centre - extent / 2).tolist()
        width, height = extent.tolist()
        box = (x, y, width, height)
        return annotation_of_box(box, image_id=image_id, category_id=category_id)
    if len(shares) < 6 or len(shares) % 2:
        raise ValueError(
            f"a line must have 4 numbers after the class, or 3 points and more, got {len(shares)}"
        )
    points = shares.reshape(-1, 2) * scale  # (P, 2)
    return annotation_of_polygons([points], image_id=image_id, category_id=category_id)
