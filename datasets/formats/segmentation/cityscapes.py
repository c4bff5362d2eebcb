"""Cityscapes' folders (Cordts et al. 2016): `leftImg8bit/{split}/{city}` and `gtFine/...`.

A label map is `*_gtFine_labelTrainIds.png` where its authors' script has made them, with the 19
classes of the benchmark as 0..18 and 255 ignored; else `*_gtFine_labelIds.png`, with ids 0..33 that
the official table takes to those 19.
"""

from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.folders import list_folders
from swin_dense.datasets.formats.segmentation.label_encoding import Encoding, Numbers, NumberTable
from swin_dense.datasets.formats.segmentation.pairs import (
    FileTree,
    LayoutFiles,
    list_images,
    pair_files,
)
from swin_dense.datasets.label_maps import IGNORED_LABEL

# The 19 classes by their training id: id in the files, name, colour.
CITYSCAPES_CLASSES: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_LARGEST_ID = 33
_IMAGES = "leftImg8bit"
_LABELS = ("gtFine", "gtCoarse")


def is_cityscapes_layout(root: Path) -> bool:
    """Tell whether a folder, or a folder in it, has Cityscapes' images and label maps."""
    return _find_folders(root) is not None


def find_cityscapes(root: Path) -> LayoutFiles:
    """Every split that has label maps.

    Raises:
        ValueError: the splits store ids in some parts and training ids in others.
    """
    folders = _find_folders(root)
    assert folders is not None
    images, labels = folders
    kind = labels.name
    trees = {
        split: (
            list_images(images / split, (".png", ".jpg"), cut=f"_{_IMAGES}"),
            {
                name: list_images(labels / split, (".png",), cut=f"_{kind}_{name}")
                for name in ("labelTrainIds", "labelIds")
            },
        )
        for split in list_folders(labels)
        if (images / split).is_dir()
    }
    trees = {
        split: found for split, found in trees.items() if any(t.files for t in found[1].values())
    }
    name = (
        "labelTrainIds"
        if trees
        and all(_covers(found["labelTrainIds"], pictures) for pictures, found in trees.values())
        else "labelIds"
    )
    splits = {
        split: pair_files(
            pictures,
            found[name],
            where=f"{images / split} and {labels / split}",
            suffix=f"_{kind}_{name}.png",
        )
        for split, (pictures, found) in trees.items()
    }
    names = tuple(name for _, name, _ in CITYSCAPES_CLASSES)
    colours = np.array([colour for _, _, colour in CITYSCAPES_CLASSES], np.uint8)
    return LayoutFiles(
        splits=splits,
        classes=(ClassList(names, colours), "Cityscapes'"),
        encoding=_encoding(name),
        reduce_zero_label=False,
    )


def _encoding(name: str) -> Encoding:
    if name == "labelTrainIds":
        return Numbers(len(CITYSCAPES_CLASSES), reduce_zero_label=False)
    table = dict.fromkeys((*range(_LARGEST_ID + 1), 255), IGNORED_LABEL)  # 255: -1, licence plates
    table |= {number: label for label, (number, _, _) in enumerate(CITYSCAPES_CLASSES)}
    return NumberTable(table, "labelIds by the official table, other ids are ignored")


def _covers(label_maps: FileTree, images: FileTree) -> bool:
    return images.files.keys() <= label_maps.files.keys()


def _find_folders(root: Path) -> tuple[Path, Path] | None:
    """Folders of images and of label maps, here or in folders of the archives they came in."""
    places = [root, *(root / name for name in list_folders(root))]
    images = [place / _IMAGES for place in places if (place / _IMAGES).is_dir()]
    labels = [place / kind for kind in _LABELS for place in places if (place / kind).is_dir()]
    return (images[0], labels[0]) if images and labels else None
