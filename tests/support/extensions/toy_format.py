"""A format of data from outside: a table of boxes."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoCategory, CocoFile
from swin_dense.datasets.formats.table import DetectionFormat
from swin_dense.datasets.images import read_image
from swin_dense.datasets.samples import Size


def is_box_table(root: Path) -> bool:
    """True if a folder has a table of boxes for each split: `train.csv`, `val.csv`."""
    return (root / "train.csv").is_file()


def read_box_table(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Read `{split}.csv` with the columns file, x1, y1, x2, y2 (px) and name."""
    path, folder = root / f"{split}.csv", root / "images"
    if not path.is_file():
        raise FileNotFoundError(f"no split '{split}' in {root}: {path} is missing")
    with path.open(newline="") as table:
        rows = list(csv.DictReader(table))
    names = sorted({row["name"] for row in rows})
    files = sorted({row["file"] for row in rows})
    images = [
        CocoImage(place, file, Size(*read_image(folder / file).shape[:2]))
        for place, file in enumerate(files, start=1)
    ]
    annotations = []
    for number, row in enumerate(rows, start=1):
        x1, y1, x2, y2 = (float(row[side]) for side in ("x1", "y1", "x2", "y2"))
        if not (x2 > x1 and y2 > y1):
            box = [x1, y1, x2, y2]
            raise ValueError(f"boxes must have x2 > x1 and y2 > y1, got {box} in row {number}")
        outline = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        annotations.append(
            CocoAnnotation(
                id=number,
                image_id=files.index(row["file"]) + 1,
                category_id=names.index(row["name"]) + 1,
                box=(x1, y1, x2 - x1, y2 - y1),
                area=(x2 - x1) * (y2 - y1),
                is_crowd=False,
                polygons=[outline],  # the box stands for the mask
                run_lengths=None,
            )
        )
    categories = [CocoCategory(place, name) for place, name in enumerate(names, start=1)]
    return CocoFile(path, images, categories, annotations, Counter()), folder


BOX_TABLE = DetectionFormat(name="table of boxes", fits=is_box_table, read=read_box_table)
