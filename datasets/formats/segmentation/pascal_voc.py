"""Pascal VOC's folders (Everingham et al. 2010), and CVAT's "Segmentation mask" in the same form.

`JPEGImages/*.jpg`, `SegmentationClass/*.png` and `ImageSets/Segmentation/{split}.txt` with a name a
line. The label maps are palette images: 0 is the background, 1..20 the classes, 255 the border of
an object, which is ignored. CVAT adds `labelmap.txt`, a line `name:r,g,b::` for each class.
"""

from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.segmentation.pairs import (
    LABEL_SUFFIXES,
    FileTree,
    LayoutFiles,
    SplitFiles,
    list_images,
    pair_files,
)

VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
_LABEL_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
_LISTS = "ImageSets/Segmentation"


def voc_palette(num_colours: int) -> np.ndarray:
    """The first of VOC's colours: `(num_colours, 3)` uint8 RGB, up to 256.

    The bits of an index go to red, green and blue in turn, from the highest bit of each down.
    """
    indices = np.arange(num_colours)
    colours = np.zeros((num_colours, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (indices >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def is_voc_layout(root: Path) -> bool:
    """Tell whether a folder has VOC's images and label maps."""
    return (root / "JPEGImages").is_dir() and any((root / name).is_dir() for name in _LABEL_FOLDERS)


def find_voc(root: Path) -> LayoutFiles:
    """The splits that the lists name; without lists all images are one split.

    Raises:
        ValueError: a list or `labelmap.txt` cannot be read.
    """
    images = list_images(root / "JPEGImages")
    label_maps = [
        list_images(root / name, LABEL_SUFFIXES)
        for name in _LABEL_FOLDERS
        if (root / name).is_dir()
    ]
    merged = FileTree({}, [fault for tree in label_maps for fault in tree.faults])
    for tree in reversed(label_maps):  # VOC's own before those added later
        merged.files |= tree.files
    splits = {
        path.stem: _read_split(path, images, merged)
        for path in sorted((root / _LISTS).glob("*.txt"))
        if path.is_file()
    }
    if not splits:
        where = f"{root / 'JPEGImages'} and {root / _LABEL_FOLDERS[0]}"
        splits["all"] = pair_files(images, merged, where=where)
    classes = _read_label_colours(root / "labelmap.txt")
    return LayoutFiles(
        splits=splits,
        classes=None if classes is None else (classes, "labelmap.txt's"),
        assumed=(ClassList(VOC_NAMES, voc_palette(len(VOC_NAMES))), "Pascal VOC's"),
        reduce_zero_label=False,
    )


def _read_split(path: Path, images: FileTree, label_maps: FileTree) -> SplitFiles:
    """The pairs of a list: names, or an image and its label map a line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a list of names in UTF-8: {error}") from error
    names = list(dict.fromkeys(_name(line.strip()) for line in lines if line.strip()))
    listed = FileTree({name: images.files[name] for name in names if name in images.files})
    labelled = FileTree(
        {name: label_maps.files[name] for name in listed.files if name in label_maps.files}
    )
    split = pair_files(listed, labelled, where=str(path))
    missing = [f"{name} has no image in JPEGImages" for name in names if name not in images.files]
    faults = (*images.faults, *label_maps.faults, *missing, *split.faults)
    return SplitFiles(where=str(path), images=split.images, faults=faults)


def _name(line: str) -> str:
    """The image's name of a line, which may be `/JPEGImages/a.jpg /SegmentationClassAug/a.png`."""
    first, _, second = line.partition(" ")
    if second and Path(second.strip()).suffix.lower() in LABEL_SUFFIXES:
        place = Path(first.lstrip("/"))
        parts = place.parts
        inner = parts[parts.index("JPEGImages") + 1 :] if "JPEGImages" in parts else parts
        return Path(*inner).with_suffix("").as_posix()
    return line


def _read_label_colours(path: Path) -> ClassList | None:
    """CVAT's classes and their colours, without those that have none."""
    if not path.is_file():
        return None
    names, colours = [], []
    try:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            if line.strip() and not line.startswith("#"):
                name, colour = line.split(":")[:2]
                values = [int(value) for value in colour.split(",")]
                if len(values) != 3 or not all(0 <= value <= 255 for value in values):
                    raise ValueError(f"a colour must be three numbers of 0..255, got {colour}")
                names.append(name.strip())
                colours.append(values)
    except ValueError as error:
        raise ValueError(f"{path} must have lines name:r,g,b:: ({error})") from error
    if not names:
        raise ValueError(f"{path} must have lines name:r,g,b::, got none")
    return ClassList(tuple(names), np.array(colours, np.uint8))
