"""Writing segmentation data as ADE20K is published."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np

from swin_dense.datasets.formats.folders import whole_folder
from swin_dense.datasets.formats.segmentation.label_encoding import Encoding
from swin_dense.datasets.formats.segmentation.pairs import LabelledImage, check_headers
from swin_dense.datasets.formats.segmentation.segmentation_folder import SegmentationFolder
from swin_dense.datasets.formats.split_names import ADE20K_NAMES, published_name
from swin_dense.datasets.label_maps import IGNORED_LABEL


def write_ade20k(folder: SegmentationFolder, out: str | Path) -> Path:
    """Write `images/{split}`, `annotations/{split}` and `classes.txt`; copies of the images.

    The splits that mean training and validation get ADE20K's names, others keep theirs. A label map
    is a PNG of one channel: 0 is ignored, k + 1 is label k. `classes.csv` beside `classes.txt` has
    these numbers, and the colours if the classes have some.

    Args:
        folder: data of any layout, from `open_segmentation`.
        out: a new or empty folder; it is whole or not there.

    Returns:
        `out` as a path.

    Raises:
        ValueError: `out` is not empty, there are 255 classes, which leave no number for "ignored",
            two splits get one name, or files of a split are at fault, all named.
    """
    out = Path(out)
    num_classes = len(folder.reading.classes.names)
    if num_classes >= IGNORED_LABEL:
        raise ValueError(f"ADE20K's form has room for 254 classes, got {num_classes}")
    names = {split: published_name(split, ADE20K_NAMES) for split in folder.splits}
    if len(set(names.values())) < len(names):
        raise ValueError(
            f"splits must have names of different meaning, got {', '.join(names)} in {folder.root}"
        )
    with whole_folder(out) as partial:
        for files in folder.splits.values():
            check_headers(files, folder.reading.encoding.read_header)
        for split, files in folder.splits.items():
            for pair in files.images:
                _write_pair(pair, partial, names[split], folder.reading.encoding)
        _write_classes(folder, partial)
    return out


def _write_pair(pair: LabelledImage, out: Path, split: str, encoding: Encoding) -> None:
    image = out / "images" / split / f"{pair.id}{pair.image.suffix}"
    label_map = out / "annotations" / split / f"{pair.id}.png"
    for path in (image, label_map):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(pair.image, image)
    labels = encoding.read(pair.label_map)
    numbers = np.where(labels == IGNORED_LABEL, 0, labels + np.uint8(1)).astype(np.uint8)
    label_map.write_bytes(cv2.imencode(".png", numbers)[1].tobytes())


def _write_classes(folder: SegmentationFolder, out: Path) -> None:
    classes = folder.reading.classes
    (out / "classes.txt").write_text("\n".join(classes.names) + "\n", encoding="utf-8")
    header = ("label", "name", "r", "g", "b")
    colours: list[list[int]] = [[]] * len(classes.names)
    if classes.colours is not None:
        colours = classes.colours.tolist()
    with (out / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header[: 2 + len(colours[0])])
        rows = zip(classes.names, colours, strict=True)
        writer.writerows((label, name, *rgb) for label, (name, rgb) in enumerate(rows, start=1))
