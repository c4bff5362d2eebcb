"""Drawn shapes in folders of their classes."""

from pathlib import Path

import numpy as np
import pytest

from swin_dense.datasets.drawn.shape_classes import (
    CLASS_NAMES,
    draw_shape_image,
    write_shape_classes,
)
from swin_dense.datasets.formats.classification.image_folder import ImageFolder
from swin_dense.datasets.transforms.classification import as_tensor


def test_the_drawn_set_is_folders_of_ten_classes(tmp_path: Path) -> None:
    root = write_shape_classes(tmp_path / "shapes", num_train=20, num_val=10, size=32)
    data = ImageFolder(root, "train", transforms=as_tensor)
    assert data.class_names == tuple(sorted(CLASS_NAMES))
    assert len(CLASS_NAMES) == 10
    assert data.count_labels().tolist() == [2] * 10
    assert data[0]["image"].shape == (3, 32, 32)
    assert ImageFolder(root, "val", transforms=as_tensor).count_labels().tolist() == [1] * 10


def test_the_same_arguments_give_the_same_files_and_splits_differ(tmp_path: Path) -> None:
    first = write_shape_classes(tmp_path / "a", num_train=10, num_val=10, size=32)
    second = write_shape_classes(tmp_path / "b", num_train=10, num_val=10, size=32)
    for path in sorted(first.rglob("*.jpg")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    names = {path.name: path.read_bytes() for path in (first / "train").rglob("*.jpg")}
    assert all(names[path.name] != path.read_bytes() for path in (first / "val").rglob("*.jpg"))


@pytest.mark.parametrize("label", range(len(CLASS_NAMES)))
def test_every_class_can_be_drawn(label: int) -> None:
    pixels = draw_shape_image(np.random.default_rng(0), label, size=48)
    assert pixels.shape == (48, 48, 3)
    assert pixels.std() > 10


def test_impossible_numbers_and_full_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must have at least 10 images in each split"):
        write_shape_classes(tmp_path / "a", num_train=9, num_val=10)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="need a new or empty folder"):
        write_shape_classes(tmp_path, num_train=10, num_val=10)
