"""Scene parsing data in ADE20K's layout: `images/{split}` and `annotations/{split}`.

Zhou et al. 2017, "Scene Parsing through ADE20K Dataset". Any set of photographs and label maps in
that layout is read, with class names of its own in `classes.txt` or `classes.csv`.
"""

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import scipy.io
import torch
from scipy.io.matlab import MatReadError
from torch.utils.data import Dataset

from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.label_maps import (
    labels_from_numbers,
    read_class_numbers,
    read_image_header,
    read_label_map_header,
)
from swin_dense.datasets.samples import SegmentationSample
from swin_dense.datasets.transforms.detection import Pipeline, seed_transforms

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_FAULTS_SHOWN = 20


@dataclass(frozen=True)
class ClassList:
    """Names of the classes in the order of their labels, and their colours if the list has any.

    Attributes:
        names: one per class.
        colours: `(K, 3)` uint8 RGB, or None.
    """

    names: tuple[str, ...]
    colours: np.ndarray | None = None


class Ade20k(Dataset[SegmentationSample]):
    """Photographs with label maps.

    An item is asked for by its index, or by `(index, epoch)` as the samplers give it: whatever the
    transforms draw depends on seed, epoch and index alone.

    Attributes:
        class_names: one per label.
        colours: `(K, 3)` uint8 RGB where the class list has colours, else None.
        image_ids: names of the files without their endings, sorted.
        sizes: `(height, width)` of each label map, px.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        transforms: Pipeline,
        class_names: Sequence[str] | None = None,
        reduce_zero_label: bool = True,
        seed: int = 0,
    ) -> None:
        """Find the pairs, check all label maps and the photographs' heads; nothing is decoded yet.

        Args:
            root: folder that holds `images` and `annotations`.
            split: such as `training` or `validation`.
            transforms: a pipeline of `semantic_transforms`.
            class_names: None: those of `classes.txt` or `classes.csv` in the root, else ADE20K's
                150.
            reduce_zero_label: stored numbers are 0 for "ignored" and 1..K, as in ADE20K; otherwise
                they are the labels 0..K-1. 255 is ignored under both rules.
            seed: of all that the transforms draw.

        Raises:
            FileNotFoundError: no such root or split; the splits that exist are named.
            ValueError: there are faults, all named: a photograph or label map without its partner,
                sizes that differ, a label map that is damaged or has colours, a photograph whose
                head is damaged; or a class list cannot be read.
        """
        self.image_folder, self.label_folder = _find_split(Path(root), split)
        classes = read_classes(root) or ade20k_classes()
        if class_names is not None:
            names = tuple(class_names)
            classes = classes if names == classes.names else ClassList(names)
        self.class_names, self.colours = classes.names, classes.colours
        if not 1 <= len(self.class_names) <= 255:
            raise ValueError(f"class names must be 1..255, got {len(self.class_names)} for {root}")
        self.transforms = transforms
        self.reduce_zero_label = reduce_zero_label
        self.seed = seed
        self._images, self._label_maps = _pair_files(self.image_folder, self.label_folder)
        self.image_ids = sorted(self._images)
        self.sizes = _check_heads(
            [(self._images[stem], self._label_maps[stem]) for stem in self.image_ids]
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> SegmentationSample:
        """Read and transform one photograph and its label map.

        Raises:
            FileNotFoundError: a file has disappeared.
            ValueError: a file is damaged, the sizes differ, or a class number is out of range.
        """
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        label_map = self.load_label_map(index)
        original = self.load_image(index)
        seed_transforms(self.transforms, self.seed, epoch, index)
        moved = self.transforms(image=original, mask=label_map)
        image, labels = (np.ascontiguousarray(moved[name]) for name in ("image", "mask"))
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),  # (3, H, W)
            "image_id": self.image_ids[index],
            "original_size": image_size(original),
            "label_map": torch.from_numpy(labels).long(),  # (H, W)
        }

    def load_image(self, index: int) -> np.ndarray:
        """The photograph as annotated: `(H, W, 3)` uint8 RGB. Raises as `__getitem__`."""
        return read_image(self._images[self.image_ids[index]], stated_size=self.sizes[index])

    def load_label_map(self, index: int) -> np.ndarray:
        """Labels at the photograph's size: `(H, W)` uint8. Raises as `__getitem__`."""
        path = self._label_maps[self.image_ids[index]]
        return labels_from_numbers(
            read_class_numbers(path),
            num_classes=len(self.class_names),
            reduce_zero_label=self.reduce_zero_label,
            where=path,
        )


def ade20k_classes() -> ClassList:
    """ADE20K's 150 scene parsing classes and their colours; the file names its source."""
    file = resources.files("swin_dense.datasets") / "ade20k_classes.csv"
    return _parse_csv(file.read_text(encoding="utf-8"), where="ade20k_classes.csv")


def read_classes(root: str | Path) -> ClassList | None:
    """Read a data set's own class list.

    `classes.txt` has one name a line in the order of the labels. `classes.csv` has a header with
    `name`; optionally `label`, whole numbers without gaps that give the order, and `r`, `g`, `b`,
    each 0..255. Lines that start with `#` are skipped.

    Args:
        root: the data set's folder.

    Returns:
        The list, or None where the folder has neither file.

    Raises:
        ValueError: the file is not UTF-8, has no name, a column is missing, or a value is no number
            in range.
    """
    text_file, csv_file = Path(root) / "classes.txt", Path(root) / "classes.csv"
    if text_file.is_file():
        lines = _read_text(text_file).splitlines()
        names = tuple(line.strip() for line in lines if line.strip() and line[0] != "#")
        if not names:
            raise ValueError(f"{text_file} must have one class name a line, got none")
        return ClassList(names)
    if csv_file.is_file():
        return _parse_csv(_read_text(csv_file), where=csv_file)
    return None


def read_colours(path: str | Path) -> np.ndarray:
    """Read the colours of the classes from the data set's own `color150.mat`.

    Returns:
        `(K, 3)` uint8 RGB, row k for label k.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no MATLAB file, or has no `colors` of that shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no colour file {path}")
    try:
        content = scipy.io.loadmat(path)
    except (MatReadError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from error
    colours = content.get("colors")
    if colours is None or colours.ndim != 2 or colours.shape[1] != 3:
        names = sorted(name for name in content if not name.startswith("__"))
        raise ValueError(f"{path} must hold `colors` of shape (K, 3), got {names}")
    return colours.astype(np.uint8)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from error


def _parse_csv(text: str, *, where: str | Path) -> ClassList:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    if not rows or "name" not in rows[0]:
        raise ValueError(f"{where} must have a header with `name` and one line a class")
    try:
        if "label" in rows[0]:
            rows.sort(key=lambda row: int(row["label"]))
            labels = [int(row["label"]) for row in rows]
            if labels != list(range(labels[0], labels[0] + len(labels))) or labels[0] > 1:
                raise ValueError("labels must count up from 0 or 1 without gaps")
        colours = None
        if {"r", "g", "b"} <= rows[0].keys():
            colours = np.array([[int(row[c]) for c in "rgb"] for row in rows])
            if colours.min() < 0 or colours.max() > 255:
                raise ValueError("colours must be in 0..255")
            colours = colours.astype(np.uint8)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    return ClassList(tuple(row["name"].strip() for row in rows), colours)


def _find_split(root: Path, split: str) -> tuple[Path, Path]:
    """The folders of photographs and label maps."""
    if not (root / "images").is_dir() or not (root / "annotations").is_dir():
        raise FileNotFoundError(f"{root} must hold the folders images and annotations")
    images, label_maps = root / "images" / split, root / "annotations" / split
    if not images.is_dir() or not label_maps.is_dir():
        splits = sorted(
            folder.name
            for folder in (root / "images").iterdir()
            if folder.is_dir() and (root / "annotations" / folder.name).is_dir()
        )
        raise FileNotFoundError(
            f"no split {split!r} in {root}; there are: {', '.join(splits) or 'none'}"
        )
    return images, label_maps


def _pair_files(image_folder: Path, label_folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Files by their name without ending; every photograph has its label map."""
    faults = []
    images: dict[str, Path] = {}
    for path in sorted(image_folder.iterdir()):
        if path.suffix.lower() in _IMAGE_SUFFIXES:
            if path.stem in images:
                faults.append(f"{path.name} has the same name as {images[path.stem].name}")
            images[path.stem] = path
    label_maps = {
        path.stem: path for path in label_folder.iterdir() if path.suffix.lower() == ".png"
    }
    faults += [
        f"{images[stem].name} has no label map {stem}.png"
        for stem in sorted(images.keys() - label_maps.keys())
    ]
    faults += [
        f"{stem}.png has no photograph" for stem in sorted(label_maps.keys() - images.keys())
    ]
    if not images:
        faults.append("there is no photograph")
    _raise_faults(faults, f"{image_folder} and {label_folder}")
    return images, label_maps


def _check_heads(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[int, int]]:
    """Sizes of the label maps, once all heads can be read and fit their photographs."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        checked = list(pool.map(_check_head, pairs))
    _raise_faults([found for found in checked if isinstance(found, str)], str(pairs[0][0].parent))
    return [found for found in checked if not isinstance(found, str)]


def _check_head(pair: tuple[Path, Path]) -> tuple[int, int] | str:
    """The label map's size, or what is wrong with the pair."""
    try:
        image, label_map = read_image_header(pair[0]), read_label_map_header(pair[1])
    except ValueError as error:
        return str(error)
    # A photograph stored on its side may be turned by its orientation tag.
    if sorted(image) != sorted(label_map):
        return (
            f"{pair[0]} and its label map must have one size, got {image.width} x {image.height} "
            f"and {label_map.width} x {label_map.height} (width x height)"
        )
    return label_map


def _raise_faults(faults: Sequence[str], where: str) -> None:
    if faults:
        shown = "; ".join(faults[:_FAULTS_SHOWN])
        more = len(faults) - _FAULTS_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise ValueError(f"{where} cannot be used, {len(faults)} at fault: {shown}{rest}")
