"""Class names: COCO's with ids, ADE20K's with colours, and the lists that data sets bring."""

import csv
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from swin_dense.datasets.files import read_text

MAX_CATEGORIES = 20_000  # scores of a data set take about 0.2 MB a category
_LONGEST_NAME = 500  # letters

# The 80 classes of COCO 2017 by their ids, 1 to 90 with gaps (https://cocodataset.org). A label is
# the place in this table.
COCO_CATEGORIES: dict[int, str] = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    7: "train",
    8: "truck",
    9: "boat",
    10: "traffic light",
    11: "fire hydrant",
    13: "stop sign",
    14: "parking meter",
    15: "bench",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
    20: "sheep",
    21: "cow",
    22: "elephant",
    23: "bear",
    24: "zebra",
    25: "giraffe",
    27: "backpack",
    28: "umbrella",
    31: "handbag",
    32: "tie",
    33: "suitcase",
    34: "frisbee",
    35: "skis",
    36: "snowboard",
    37: "sports ball",
    38: "kite",
    39: "baseball bat",
    40: "baseball glove",
    41: "skateboard",
    42: "surfboard",
    43: "tennis racket",
    44: "bottle",
    46: "wine glass",
    47: "cup",
    48: "fork",
    49: "knife",
    50: "spoon",
    51: "bowl",
    52: "banana",
    53: "apple",
    54: "sandwich",
    55: "orange",
    56: "broccoli",
    57: "carrot",
    58: "hot dog",
    59: "pizza",
    60: "donut",
    61: "cake",
    62: "chair",
    63: "couch",
    64: "potted plant",
    65: "bed",
    67: "dining table",
    70: "toilet",
    72: "tv",
    73: "laptop",
    74: "mouse",
    75: "remote",
    76: "keyboard",
    77: "cell phone",
    78: "microwave",
    79: "oven",
    80: "toaster",
    81: "sink",
    82: "refrigerator",
    84: "book",
    85: "clock",
    86: "vase",
    87: "scissors",
    88: "teddy bear",
    89: "hair drier",
    90: "toothbrush",
}


@dataclass(frozen=True)
class ClassList:
    """Names of the classes in the order of their labels, and their colours if the list has any.

    Attributes:
        names: one per class.
        colours: `(K, 3)` uint8 RGB, or None.
        first_number: number of the first class in label maps, 0 or 1, if the list has numbers.
    """

    names: tuple[str, ...]
    colours: np.ndarray | None = None
    first_number: int | None = None


def ade20k_classes() -> ClassList:
    """ADE20K's 150 scene parsing classes and their colours; the file names its source."""
    file = resources.files("swin_dense.datasets") / "ade20k_classes.csv"
    return _parse_csv(file.read_text(encoding="utf-8"), where="ade20k_classes.csv")


def read_classes(root: str | Path) -> ClassList | None:
    """Read the class list that a data set brings.

    `classes.txt` has one name a line in the order of the labels. `classes.csv` has a header with
    `name`; optionally `label`, whole numbers without gaps that give the order, and `r`, `g`, `b`,
    each 0..255. Lines that start with `#` are skipped. Of two files with the same names the second
    is read, which says more.

    Args:
        root: the data set's folder.

    Returns:
        The list, or None where the folder has neither file.

    Raises:
        ValueError: it is no ordinary file or not UTF-8, has no name, a column is missing, a row is
            short, or a value is no number in range or no name (`find_fault_of_name`).
    """
    text_file, csv_file = Path(root) / "classes.txt", Path(root) / "classes.csv"
    if text_file.exists():
        lines = read_text(text_file, "class list").splitlines()
        names = tuple(line.strip() for line in lines if line.strip() and line[0] != "#")
        if not names:
            raise ValueError(f"{text_file} must have one class name a line, got none")
        listed = ClassList(_check_names(names, where=text_file))
        if csv_file.exists():
            more = _parse_csv(read_text(csv_file, "class list"), where=csv_file)
            listed = more if more.names == names else listed
        return listed
    if csv_file.exists():
        return _parse_csv(read_text(csv_file, "class list"), where=csv_file)
    return None


def find_fault_of_name(name: object) -> str | None:
    """The reason for which a value from a file is no name of a class; None for a good one."""
    if not isinstance(name, str) or not name.strip():
        return "without name"
    if len(name) > _LONGEST_NAME:
        return f"with a name of more than {_LONGEST_NAME} letters"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "with a name that has half a character (a lone surrogate)"
    return None


def _check_names(names: tuple[str, ...], *, where: str | Path) -> tuple[str, ...]:
    """The names, once each is one and they are not too many."""
    if len(names) > MAX_CATEGORIES:
        raise ValueError(f"{where} must have at most {MAX_CATEGORIES} classes, got {len(names)}")
    for place, name in enumerate(names):
        if fault := find_fault_of_name(name):
            raise ValueError(f"{where} has a class {fault} (number {place}, from 0)")
    return names


def _parse_csv(text: str, *, where: str | Path) -> ClassList:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        rows = list(csv.DictReader(lines, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{where} cannot be read as CSV: {error}") from error
    if not rows or "name" not in rows[0]:
        raise ValueError(f"{where} must have a header with `name` and one line a class")
    first_number = None
    try:
        if "label" in rows[0]:
            rows.sort(key=lambda row: int(row["label"]))
            labels = [int(row["label"]) for row in rows]
            if labels != list(range(labels[0], labels[0] + len(labels))) or labels[0] > 1:
                raise ValueError("labels must count up from 0 or 1 without gaps")
            first_number = labels[0]
        colours = None
        if {"r", "g", "b"} <= rows[0].keys():
            colours = np.array([[int(row[c]) for c in "rgb"] for row in rows])
            if colours.min() < 0 or colours.max() > 255:
                raise ValueError("colours must be in 0..255")
            colours = colours.astype(np.uint8)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    names = tuple((row["name"] or "").strip() for row in rows)
    return ClassList(_check_names(names, where=where), colours, first_number)
