"""Folders of classes are written with copies of the images."""

from pathlib import Path

import numpy as np
from PIL import Image

from swin_dense.datasets.formats.classification.class_folder_writer import write_class_folders
from swin_dense.datasets.formats.classification.class_folders import open_class_folders


def test_splits_get_the_names_of_imagenets(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        folder = tmp_path / "in" / split / "cat" / "deep"
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / f"{split}.png")
    write_class_folders(open_class_folders(tmp_path / "in"), tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    assert [str(path) for path in found] == [
        "train/cat/deep/training.png",
        "val/cat/deep/validation.png",
    ]
