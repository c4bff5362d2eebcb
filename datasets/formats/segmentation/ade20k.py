"""Scene parsing data in ADE20K's layout: `images/{split}` and `annotations/{split}`.

Zhou et al. 2017, "Scene Parsing through ADE20K Dataset". Any set of images and label maps in that
layout is read, with its class names in `classes.txt` or `classes.csv`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from swin_dense.datasets.categories import ClassList, ade20k_classes, read_classes
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.label_maps import (
    labels_from_numbers,
    read_class_numbers,
    read_image_header,
    read_label_map_header,
)
from swin_dense.datasets.samples import SegmentationSample
from swin_dense.datasets.transforms.pipeline import Pipeline, seed_transforms

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_FAULTS_SHOWN = 20


class Ade20k(Dataset[SegmentationSample]):
    """Images with label maps.

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
        """Find the pairs, check all label maps and the headers of the images; none is decoded yet.

        Args:
            root: folder that holds `images` and `annotations`.
            split: such as `training` or `validation`.
            transforms: a pipeline of `transforms.segmentation`.
            class_names: None: those of `classes.txt` or `classes.csv` in the root, else ADE20K's
                150.
            reduce_zero_label: reduce every stored number by 1, and ignore 0, as ADE20K's files ask
                for; otherwise they are the labels 0..K-1. 255 is ignored in both cases.
            seed: of all that the transforms draw.

        Raises:
            FileNotFoundError: no such root or split; the splits that exist are named.
            ValueError: there are faults, all named: an image or label map without its partner,
                sizes that differ, a label map that is damaged or has colours, an image whose
                header is damaged; or a class list cannot be read.
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
        self.sizes = _check_headers(
            [(self._images[stem], self._label_maps[stem]) for stem in self.image_ids]
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> SegmentationSample:
        """Read and transform one image and its label map.

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
        """The image as annotated: `(H, W, 3)` uint8 RGB. Raises as `__getitem__`."""
        return read_image(self._images[self.image_ids[index]], stated_size=self.sizes[index])

    def load_label_map(self, index: int) -> np.ndarray:
        """Labels at the original image's size: `(H, W)` uint8. Raises as `__getitem__`."""
        path = self._label_maps[self.image_ids[index]]
        return labels_from_numbers(
            read_class_numbers(path),
            num_classes=len(self.class_names),
            reduce_zero_label=self.reduce_zero_label,
            where=path,
        )


def _find_split(root: Path, split: str) -> tuple[Path, Path]:
    """The folders of images and label maps."""
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
    """Files by their name without ending; every image has its label map."""
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
    faults += [f"{stem}.png has no image" for stem in sorted(label_maps.keys() - images.keys())]
    if not images:
        faults.append("there is no image")
    _raise_faults(faults, f"{image_folder} and {label_folder}")
    return images, label_maps


def _check_headers(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[int, int]]:
    """Sizes of the label maps, once all headers can be read and fit their images."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        checked = list(pool.map(_check_header, pairs))
    _raise_faults([fault for fault in checked if isinstance(fault, str)], str(pairs[0][0].parent))
    return [size for size in checked if not isinstance(size, str)]


def _check_header(pair: tuple[Path, Path]) -> tuple[int, int] | str:
    """The label map's size, or the fault of the pair."""
    try:
        image, label_map = read_image_header(pair[0]), read_label_map_header(pair[1])
    except ValueError as error:
        return str(error)
    # An image stored on its side may be turned by its orientation tag.
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
