"""LabelMe's files: a JSON with `shapes` and `imagePath` for each image, most often beside it.

Class order is not stored: it is that of `labels.txt` in the root, else the alphabet's, over all
splits. Shapes of one label and one group are one object. Lines and points have no area and are left
out; coordinates are those of the upright image.
"""

import base64
import binascii
import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoCategory, CocoFile
from swin_dense.datasets.formats.detection.instance_masks import (
    annotation_of_box,
    annotation_of_polygons,
    number_annotations,
)
from swin_dense.datasets.formats.folders import entries, is_image_name, subfolders
from swin_dense.datasets.formats.split_names import WHOLE, order_splits, split_in_name
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.masks import compress_bitmaps
from swin_dense.datasets.samples import Size

_NO_CLASSES = ("__ignore__", "_background_")
_CORNERS_OF_CIRCLE = 64
_LOOKED_AT = 1000  # entries of a folder; labels lie between the images
_HEAD = 1 << 16  # bytes; `shapes` stands before the image's bytes
_MAX_NAMED = 10


def is_labelme(root: Path) -> bool:
    """Tell whether a folder, or one in it, has a LabelMe file."""
    folders = [root, *subfolders(root)]
    folders += [inner for folder in folders[1:] for inner in subfolders(folder)]
    return any(_has_labels(folder) for folder in folders if folder.is_dir())


def list_labelme_splits(root: Path) -> list[str]:
    """Names of the folders with labels, if all of them are splits' names; else the whole."""
    files = list(_find_files(root))
    tops = {path.relative_to(root).parts[0] for path in files if path.parent != root}
    if tops and all(path.parent != root for path in files) and all(map(split_in_name, tops)):
        return order_splits(list(tops))
    return [WHOLE]


def read_labelme(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a split; the folder is the root.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: files cannot be read, images are missing or of another size; all are named.
    """
    splits = list_labelme_splits(root)
    if split not in splits:
        raise FileNotFoundError(f"no split '{split}' in {root}; splits there: {', '.join(splits)}")
    faults: list[str] = []
    left_out: Counter[str] = Counter()
    contents = _read_files(root, faults)
    names = _read_names(root) or sorted(
        {shape["label"] for content in contents.values() for shape in content["shapes"]}
        - set(_NO_CLASSES)
    )
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    folder = root if split == WHOLE else root / split
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for path, content in contents.items():
        if folder not in path.parents:
            continue
        try:
            image, size = _find_image(path, content, root)
            image_id = len(images) + 1
            images.append(CocoImage(image_id, image.relative_to(root).as_posix(), size))
            annotations += _read_objects(content, image_id, size, category_ids, left_out)
        except (OSError, ValueError) as error:
            faults.append(f"{path.relative_to(root)}: {error}")
    if faults:
        more = f"; and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise ValueError(
            f"{root} cannot be used, {len(faults)} at fault: {'; '.join(faults[:_MAX_NAMED])}{more}"
        )
    categories = [CocoCategory(number, name) for name, number in category_ids.items()]
    return CocoFile(root, images, categories, number_annotations(annotations), left_out), root


def _has_labels(folder: Path) -> bool:
    files = (path for path in islice(folder.iterdir(), _LOOKED_AT) if path.suffix == ".json")
    return any(_is_labels(path) for path in files if path.is_file())


def _is_labels(path: Path) -> bool:
    """Tell whether a file is LabelMe's; one without `shapes` at its beginning is not read."""
    with path.open("rb") as stream:
        if b'"shapes"' not in stream.read(_HEAD):
            return False
    return _load(path) is not None


def _load(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(content, dict) and isinstance(content.get("shapes"), list)
    return content if is_ours and isinstance(content.get("imagePath"), str) else None


def _find_files(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.is_dir():
            yield from _find_files(path)
        elif path.suffix == ".json" and _is_labels(path):
            yield path


def _read_files(root: Path, faults: list[str]) -> dict[Path, dict[str, Any]]:
    """Contents of all splits without the images' bytes."""
    contents = {}
    for path in _find_files(root):
        content = _load(path)
        assert content is not None  # a file that has changed meanwhile
        content.pop("imageData", None)
        wrong = [
            shape
            for shape in content["shapes"]
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str)
        ]
        if wrong:
            faults.append(f"{path.relative_to(root)}: {len(wrong)} shapes without a label")
        else:
            contents[path] = content
    return contents


def _read_names(root: Path) -> list[str]:
    path = root / "labels.txt"
    if not path.is_file():
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    return list(dict.fromkeys(line for line in lines if line and line not in _NO_CLASSES))


def _find_image(path: Path, content: dict[str, Any], root: Path) -> tuple[Path, Size]:
    """The image of a label file, and its size."""
    stated = content["imagePath"].replace("\\", "/")
    image = (path.parent / stated).resolve()
    if not image.is_file() or not image.is_relative_to(root.resolve()):
        beside = [path.parent / Path(stated).name, *sorted(path.parent.glob(f"{path.stem}.*"))]
        found = [other for other in beside if is_image_name(other.name) and other.is_file()]
        if not found:
            raise ValueError(f"its image {stated} is missing; save the images beside the labels")
        image = found[0].resolve()
    size = image_size(read_image(image))
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is not None and width is not None and (height, width) != size:
        raise ValueError(
            f"its image must be of {width} x {height} px, got {size.width} x {size.height}"
        )
    return root / image.relative_to(root.resolve()), size


def _read_objects(
    content: dict[str, Any],
    image_id: int,
    size: Size,
    category_ids: dict[str, int],
    left_out: Counter[str],
) -> list[CocoAnnotation]:
    """Objects of one image; the shapes of one label and one group are one."""
    objects: dict[Any, list[np.ndarray]] = {}
    annotations = []
    for place, shape in enumerate(content["shapes"]):
        label, kind = shape["label"], shape.get("shape_type", "polygon")
        if label in _NO_CLASSES:
            left_out[f"shapes of {label}"] += 1
        elif label not in category_ids:
            raise ValueError(f"label {label!r} must be one of labels.txt")
        elif kind == "mask":
            annotations.append(_read_mask(shape, image_id, size, category_ids[label]))
        elif (polygon := _outline(kind, _points(shape))) is None:
            left_out[f"shapes without area ({kind})"] += 1
        else:
            group = shape.get("group_id")
            key = (label, place, None) if group is None else (label, None, str(group))
            objects.setdefault(key, []).append(polygon)
    for (label, *_), polygons in objects.items():
        annotations.append(
            annotation_of_polygons(polygons, image_id=image_id, category_id=category_ids[label])
        )
    return annotations


def _points(shape: dict[str, Any]) -> np.ndarray:
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points of a shape of {shape['label']!r} must be pairs of numbers")
    return points


def _outline(kind: str, points: np.ndarray) -> np.ndarray | None:
    """Outline of a shape, `(P, 2)` px; None for what has no area."""
    if kind in ("polygon", "oriented_rectangle") and len(points) >= 3:
        return points
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if kind == "circle" and len(points) == 2:
        radius = math.dist(*points.tolist())
        angles = np.linspace(0, 2 * math.pi, _CORNERS_OF_CIRCLE, endpoint=False)
        return points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    return None


def _read_mask(
    shape: dict[str, Any], image_id: int, size: Size, category_id: int
) -> CocoAnnotation:
    """A bitmap of which the file has the part within two corners, both included."""
    x, y = np.floor(_points(shape).min(0)).astype(int).tolist()
    try:
        encoded = np.frombuffer(base64.b64decode(shape.get("mask") or "", validate=True), np.uint8)
        patch = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if len(encoded) else None
    except (binascii.Error, TypeError, ValueError, cv2.error):
        patch = None
    if patch is None or x < 0 or y < 0:
        raise ValueError(f"the mask of a shape of {shape['label']!r} cannot be read")
    bitmap = np.zeros(size, bool)
    part = patch[: max(0, size.height - y), : max(0, size.width - x)] > 0
    bitmap[y : y + part.shape[0], x : x + part.shape[1]] = part
    if not bitmap.any():
        raise ValueError(f"the mask of a shape of {shape['label']!r} is empty")
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    box = (
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] - columns[0] + 1),
        float(rows[-1] - rows[0] + 1),
    )
    return annotation_of_box(
        box,
        image_id=image_id,
        category_id=category_id,
        run_lengths=compress_bitmaps(bitmap[None])[0],
        area=float(bitmap.sum()),
    )
