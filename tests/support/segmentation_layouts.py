"""The drawn data set in every layout of segmentation data, from its ADE20K form."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from swin_dense.datasets.formats.segmentation.cityscapes import CITYSCAPES_CLASSES
from swin_dense.datasets.formats.segmentation.pascal_voc import voc_palette
from swin_dense.datasets.shapes import GROUND_NAME, SHAPE_NAMES, write_shapes

NAMES = (GROUND_NAME, *SHAPE_NAMES)
COLOURS = np.array(
    [(90, 90, 90), (200, 0, 0), (0, 200, 0), (0, 0, 200), (9, 8, 7), (200, 200, 0), (0, 99, 99)],
    np.uint8,
)
SPLITS = ("training", "validation")

# Given an image's name, its file, its labels `(H, W)` uint8 and its split: write them.
Writer = Callable[[str, Path, np.ndarray, str], None]


def draw_source(root: Path, *, num_train: int = 4, num_val: int = 2) -> Path:
    """The drawn set, with a patch of each image ignored and every class in the training images."""
    write_shapes(root, num_train=num_train, num_val=num_val, size=64, seed=0)
    for split in SPLITS:
        for path in sorted((root / "annotations" / split).glob("*.png")):
            numbers = read_numbers(path)
            numbers[:8, :9] = 0
            numbers[8:16, :7] = np.arange(1, 8)
            cv2.imwrite(str(path), numbers)
    return root


def write_layout(source: Path, write: Writer) -> None:
    """Hand every image of the source, with its labels 0..K-1 and 255, to a writer."""
    for split in SPLITS:
        for image in sorted((source / "images" / split).glob("*.jpg")):
            numbers = read_numbers(source / "annotations" / split / f"{image.stem}.png")
            write(f"{split}_{image.stem}", image, numbers - np.uint8(1), split)


def write_names(root: Path) -> None:
    """The class list."""
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")


def write_colour_table(root: Path) -> None:
    """The class list with colours."""
    rows = [
        f"{name},{r}, {g}, {b}" for name, (r, g, b) in zip(NAMES, COLOURS.tolist(), strict=True)
    ]
    (root / "classes.csv").write_text("\n".join(["name,r,g,b", *rows]) + "\n")


def copy_image(image: Path, target: Path) -> None:
    """Into a folder that need not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image, target)


def read_numbers(path: Path) -> np.ndarray:
    """Values that a label map file stores."""
    return np.array(Image.open(path))


def save(array: np.ndarray, target: Path, palette: np.ndarray | None = None) -> None:
    """A label map as it is, or with a palette `(N, 3)`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    if palette is not None:
        picture = Image.fromarray(array, mode="P")
        picture.putpalette(palette.tobytes())
    picture.save(target)


def paint(labels: np.ndarray) -> np.ndarray:
    """Colours `(H, W, 3)` of labels, black where they are ignored."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(COLOURS)] = COLOURS
    return table[labels]


def write_voc(source: Path, root: Path) -> Path:
    """Pascal VOC, under a single folder as its archive has it."""
    place = root / "VOCdevkit" / "VOC2012"
    names: dict[str, list[str]] = {"train": [], "val": []}

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        copy_image(image, place / "JPEGImages" / f"{name}.jpg")
        save(labels, place / "SegmentationClass" / f"{name}.png", voc_palette(256))
        names["train" if split == "training" else "val"].append(name)

    write_layout(source, write)
    lists = place / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, listed in names.items():
        (lists / f"{split}.txt").write_text("\n".join(listed) + "\n")
    return root


def write_cityscapes(source: Path, root: Path, *, kind: str) -> Path:
    """Cityscapes, with `labelTrainIds` or `labelIds`; the shapes are its first seven classes."""
    ids = np.zeros(256, np.uint8)
    for label, (number, _, _) in enumerate(CITYSCAPES_CLASSES):
        ids[label] = number

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        part = "train" if split == "training" else "val"
        stem = f"bonn/bonn_{name}"
        picture = root / "leftImg8bit" / part / f"{stem}_leftImg8bit.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.open(image).save(picture)
        stored = labels if kind == "labelTrainIds" else ids[labels]
        save(stored, root / "gtFine" / part / f"{stem}_gtFine_{kind}.png")
        save(paint(labels), root / "gtFine" / part / f"{stem}_gtFine_color.png")

    write_layout(source, write)
    return root


def write_two_folders(source: Path, root: Path, *, colours: bool = False) -> Path:
    """`images/{train,val}` and `masks/{train,val}`: numbers, or colours."""

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        part = "train" if split == "training" else "val"
        copy_image(image, root / "images" / part / f"{name}.jpg")
        save(paint(labels) if colours else labels, root / "masks" / part / f"{name}.png")

    write_layout(source, write)
    (write_colour_table if colours else write_names)(root)
    return root


def write_suffixes(source: Path, root: Path) -> Path:
    """`x.jpg` beside `x_mask.png` in one folder, without splits."""

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        copy_image(image, root / "data" / f"{name}.jpg")
        save(labels, root / "data" / f"{name}_mask.png")

    write_layout(source, write)
    write_names(root / "data")
    return root


def write_palettes(source: Path, root: Path) -> Path:
    """ADE20K's folders with palette images whose indices are in no order, and a colour table."""
    order = np.array([3, 6, 0, 5, 1, 4, 2], np.uint8)
    palette = np.zeros((8, 3), np.uint8)
    palette[order] = COLOURS
    indices = np.full(256, 7, np.uint8)
    indices[: len(order)] = order

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        copy_image(image, root / "images" / split / f"{name}.jpg")
        save(indices[labels], root / "annotations" / split / f"{name}.png", palette)

    write_layout(source, write)
    write_colour_table(root)
    return root


def write_masks(source: Path, root: Path) -> Path:
    """0/255 masks of everything that is not ground, in `images` and `masks`."""

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        copy_image(image, root / "images" / f"{name}.jpg")
        foreground = (labels > 0) & (labels < 255)
        save((255 * foreground).astype(np.uint8), root / "masks" / f"{name}.png")

    write_layout(source, write)
    return root


def write_plain_ade20k(source: Path, root: Path) -> Path:
    """ADE20K's folders with numbers from 0 and 255 for ignored."""

    def write(name: str, image: Path, labels: np.ndarray, split: str) -> None:
        copy_image(image, root / "images" / split / f"{name}.jpg")
        save(labels, root / "annotations" / split / f"{name}.png")

    write_layout(source, write)
    write_names(root)
    return root
