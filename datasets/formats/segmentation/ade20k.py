"""Images with label maps as a data set, from any layout of `segmentation.table`.

Named for Zhou et al. 2017, "Scene Parsing through ADE20K Dataset".
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from swin_dense.datasets.formats.segmentation.pairs import check_headers
from swin_dense.datasets.formats.segmentation.table import open_segmentation
from swin_dense.datasets.formats.split_names import VALIDATION_NAMES
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.samples import SegmentationSample
from swin_dense.datasets.transforms.pipeline import Pipeline, seed_transforms


class Ade20k(Dataset[SegmentationSample]):
    """Images with label maps.

    An item is asked for by its index, or by `(index, epoch)` as the samplers give it: whatever the
    transforms draw depends on seed, epoch and index alone.

    Attributes:
        class_names: one per label.
        colours: `(K, 3)` uint8 RGB where the class list has colours, else None.
        image_ids: paths of the images in their split without endings, sorted; plain names where
            the split has no folders.
        sizes: `(height, width)` of each label map, px.
        description: of the folder, in a line: layout, images, splits, classes.
        split_name: name of the split in the folder.
        kept_images: ids of the images that were kept from training, where data were divided.
        reduce_zero_label: True where 0 is "ignored" and k is class k - 1; None where the label maps
            have no class numbers.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        transforms: Pipeline,
        class_names: Sequence[str] | None = None,
        default_names: Sequence[str] | None = None,
        reduce_zero_label: bool | None = None,
        val_fraction: float | None = None,
        val_list: Path | None = None,
        train_split: str = "training",
        seed: int = 0,
    ) -> None:
        """Find the pairs, check all label maps and the headers of the images.

        Args:
            root: folder in a layout of `segmentation.table`.
            split: such as `training` or `validation`; `train` and `val` mean the same.
            transforms: a pipeline of `transforms.segmentation`.
            class_names: None: those of `classes.txt` or `classes.csv` in the root, or of the
                layout.
            default_names: where neither names any; None: the layout's usual ones, ADE20K's 150 in
                its layout.
            reduce_zero_label: reduce every stored number by 1, and ignore 0, as ADE20K's files ask
                for; otherwise they are the labels 0..K-1; None: the layout or the files say. 255 is
                ignored in both cases.
            val_fraction: part of `train_split` that is the validation split; for data without one.
            val_list: file with the names of these images instead, one a line.
            train_split: the split to divide.
            seed: of all that the transforms draw.

        Raises:
            FileNotFoundError: no such root or split; the splits that exist are named.
            ValueError: there are faults, all named: an image or label map without its partner,
                sizes that differ, a label map that is damaged or has colours that no list names,
                an image whose header is damaged; a class list cannot be read; or the label maps
                can be read in two ways.
        """
        folder = open_segmentation(
            root,
            class_names=class_names,
            default_names=default_names,
            reduce_zero_label=reduce_zero_label,
            val_fraction=val_fraction,
            val_list=val_list,
            train_split=train_split,
        )
        self.split_name, files = folder.find_split(split)
        self.description = folder.describe()
        self.class_names = folder.reading.classes.names
        self.colours = folder.reading.classes.colours
        self.transforms = transforms
        self.seed = seed
        self.reduce_zero_label = folder.reading.reduce_zero_label
        self._encoding = folder.reading.encoding
        self.sizes = check_headers(files, self._encoding.read_header)
        self._pairs = files.images
        self.image_ids = [pair.id for pair in files.images]
        is_kept = self.split_name in VALIDATION_NAMES and (val_fraction or val_list)
        self.kept_images = tuple(self.image_ids) if is_kept else ()

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
        return read_image(self._pairs[index].image, stated_size=self.sizes[index])

    def load_label_map(self, index: int) -> np.ndarray:
        """Labels at the original image's size: `(H, W)` uint8. Raises as `__getitem__`."""
        return self._encoding.read(self._pairs[index].label_map)
