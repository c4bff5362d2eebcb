"""Images in folders of their classes as a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from swin_dense.datasets.formats.classification.class_folders import (
    ClassFolders,
    kept_names,
    open_class_folders,
    read_split,
    select_images,
)
from swin_dense.datasets.formats.classification.image_reading import read_rgb
from swin_dense.datasets.formats.split_names import (
    VALIDATION_NAMES,
    WHOLE,
    find_name,
    find_training_split,
    is_training_name,
)
from swin_dense.datasets.samples import ClassificationSample, Size

_MAX_NAMED = 5

Transform = Callable[[Image.Image], Tensor]
"""RGB image to `(3, H, W)` uint8; whatever it draws comes from torch's global source."""


class ImageFolder(Dataset[ClassificationSample]):
    """Images with a class each: `root/{train,val}/CLASS/*.jpg`.

    An item is asked for by its index, or by `(index, epoch)` as the samplers give it: whatever the
    transform draws depends on seed, epoch and index alone.

    Attributes:
        class_names: one per label.
        image_ids: one per item: the path below the split's folder, its class first.
        labels: `(N,)` int64.
        annotation_counts: number of images, under that name.
        report: files that are not used, by kind.
        kept_images: ids of the images that were kept from training, where data were divided.
        description: a line on images, classes, splits.
        split_name: of the split.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        transforms: Transform,
        class_names: Sequence[str] | None = None,
        upright: bool = True,
        val_fraction: float | None = None,
        val_list: Path | None = None,
        seed: int = 0,
    ) -> None:
        """List and check the images.

        Args:
            root: folder with the splits, or with the classes alone.
            split: such as `val`; a name that means the same will do.
            transforms: see `Transform`.
            class_names: of a model, in the order of its labels; None: those of the folders.
            upright: turn images as their cameras say (EXIF).
            val_fraction: share of the images for training to keep for evaluation instead of a
                split for it.
            val_list: file with the names of these images instead, one a line.
            seed: of all that the transform draws.

        Raises:
            FileNotFoundError: no such root, split or list; the splits that exist are named.
            ValueError: the split has faults, all named (see `class_folders.read_split`); or data
                without splits are to be trained on whole.
        """
        folders = open_class_folders(root)
        is_divided = val_fraction is not None or val_list is not None
        self.split_name, source = _find_split(folders, split, is_divided=is_divided)
        self._folder = folders.splits[source]
        images = read_split(
            self._folder,
            class_names=folders.class_names if class_names is None else class_names,
            is_for_training=is_training_name(split),
        )
        self.kept_images: tuple[str, ...] = ()
        if is_divided:
            kept = kept_names(images, self._folder, fraction=val_fraction, list_file=val_list)
            is_kept = self.split_name in VALIDATION_NAMES
            self.kept_images = tuple(kept) if is_kept else ()
            others = set(images.names) - set(kept)
            images = select_images(images, set(kept) if is_kept else others)
        self.transforms = transforms
        self.seed = seed
        self.class_names = images.class_names
        self.image_ids = list(images.names)
        self.labels = np.array(images.labels, np.int64)
        self.annotation_counts = {"images": len(self.image_ids)}
        self.report = dict(images.left_out)
        self._upright = upright
        self.description = self._describe(folders)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> ClassificationSample:
        """Read and transform one image.

        Raises:
            FileNotFoundError: the file has disappeared.
            ValueError: it is damaged.
        """
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        image = self.load_image(index)
        with torch.random.fork_rng(devices=[]):
            # Of the CPU alone: `torch.manual_seed` would also set what a GPU draws next.
            torch.default_generator.manual_seed(_mix_seed(self.seed, epoch, index))
            pixels = self.transforms(image)
        return {
            "image": pixels,  # (3, H, W)
            "image_id": self.image_ids[index],
            "original_size": Size(image.height, image.width),
            "label": int(self.labels[index]),
        }

    def load_image(self, index: int) -> Image.Image:
        """The image as it is read. Raises as `__getitem__`."""
        return read_rgb(self._folder / self.image_ids[index], upright=self._upright)

    def count_labels(self) -> np.ndarray:
        """`(K,)`: images of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def _describe(self, folders: ClassFolders) -> str:
        counts = self.count_labels()
        order = np.argsort(-counts, kind="stable")[:_MAX_NAMED]
        named = ", ".join(f"{self.class_names[label]} {counts[label]:,}" for label in order)
        more = ", ..." if len(counts) > _MAX_NAMED else ""
        line = (
            f"{folders.root}: folders of classes, split {self.split_name}: "
            f"{len(self.image_ids):,} images, {len(counts):,} classes ({named}{more})"
        )
        others = [name for name in folders.splits if name not in (self.split_name, WHOLE)]
        return f"{line}; other splits: {', '.join(others)}" if others else line


def _find_split(folders: ClassFolders, wanted: str, *, is_divided: bool) -> tuple[str, str]:
    """The name of the split, and of the one whose folder it is taken from."""
    there = list(folders.splits)
    if is_divided:
        source = find_training_split(there)
        if source is None:
            raise ValueError(
                f"{folders.root} must have one split to divide, got {', '.join(there)}"
            )
        return ("train" if is_training_name(wanted) else "val"), source
    if folders.is_whole:
        if is_training_name(wanted):
            raise ValueError(
                f"{folders.root} must have images to evaluate on, got classes without splits; keep "
                "a part with --data.val-fraction 0.1, or make folders train and val"
            )
        return WHOLE, WHOLE
    found = find_name(wanted, there)
    if found is None:
        part = (
            ""
            if any(name in VALIDATION_NAMES for name in there)
            else (", or divide the one for training with --data.val-fraction 0.1")
        )
        raise FileNotFoundError(
            f"no split {wanted!r} in {folders.root}; there are: {', '.join(there)}; name one with "
            f"--data.train-split or --data.val-split (evaluate: --split){part}"
        )
    return found, found


def _mix_seed(seed: int, epoch: int, index: int) -> int:
    """One number for the three, in 0..2**63 - 1."""
    mixed = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0]
    return int(mixed) >> 1
