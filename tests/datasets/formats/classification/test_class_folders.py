"""Folders of classes: splits, labels, and every fault at once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets.formats.classification.class_folders import (
    open_class_folders,
    read_split,
)


def write_images(root: Path, *names: str) -> Path:
    """Small images of these paths."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 10, 3), len(name), np.uint8)).save(path)
    return root


def test_splits_and_classes_are_found_in_any_common_form(tmp_path: Path) -> None:
    write_images(tmp_path / "a", "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg")
    folders = open_class_folders(tmp_path / "a")
    assert (list(folders.splits), folders.class_names) == (["train", "val"], ("cat", "dog"))
    write_images(tmp_path / "b" / "unpacked", "valid/cat/1.jpg", "Training/cat/1.jpg")
    folders = open_class_folders(tmp_path / "b")
    assert folders.root == tmp_path / "b" / "unpacked"
    assert list(folders.splits) == ["Training", "valid"]
    write_images(tmp_path / "c", "dog/1.jpg", "cat/1.jpg")
    folders = open_class_folders(tmp_path / "c")
    assert (list(folders.splits), folders.class_names) == (["all"], ("cat", "dog"))
    write_images(tmp_path / "d", "train/cat/1.jpg")
    assert list(open_class_folders(tmp_path / "d").splits) == ["train"]


def test_labels_follow_the_characters_of_the_names(tmp_path: Path) -> None:
    write_images(tmp_path, "2/a.png", "10/a.png", "b/deep/x.JPEG", "b/a.png", "B/a.webp")
    images = read_split(tmp_path)
    assert images.class_names == ("10", "2", "B", "b")
    assert list(zip(images.names, images.labels, strict=True)) == [
        ("10/a.png", 0),
        ("2/a.png", 1),
        ("B/a.webp", 2),
        ("b/a.png", 3),
        ("b/deep/x.JPEG", 3),
    ]


def test_labels_are_those_of_the_names_that_are_given(tmp_path: Path) -> None:
    write_images(tmp_path, "dog/1.jpg", "owl/1.jpg")
    images = read_split(tmp_path, class_names=("owl", "cat", "dog"))
    assert images.class_names == ("owl", "cat", "dog")
    assert list(images.labels) == [2, 0]
    other_words = read_split(tmp_path, class_names=("hound", "bird"))
    assert list(other_words.labels) == [0, 1]


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/1.jpg", "dog/1.jpg", "fox/1.jpg", "stray.jpg")
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "cat" / "text.png").write_text("no image")
    (tmp_path / "cat" / "notes.txt").write_text("left out")
    (tmp_path / "cow").mkdir()
    with pytest.raises(ValueError, match="cannot be used") as error:
        read_split(tmp_path, class_names=("cat", "cow", "dog"), is_for_training=True)
    message = str(error.value)
    assert message.startswith(f"{tmp_path} cannot be used; ")
    for fault in (
        "images in no class's folder: 1 (stray.jpg)",
        "empty files: 1 (cat/empty.png)",
        "files that are no images in spite of their names: 1 (cat/text.png)",
        "class folders without images: 1 (cow)",
        "class folders of no known class: 1 (fox)",
    ):
        assert fault in message
    assert "\n" not in message


def test_what_is_no_image_is_counted_and_what_a_system_left_is_not(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/1.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "labels.csv").write_text("")
    (tmp_path / "cat" / ".DS_Store").write_text("")
    (tmp_path / ".cache").mkdir()
    images = read_split(tmp_path)
    assert images.left_out == {"files that are no images": 2}
    assert images.class_names == ("cat",)


def test_an_empty_class_is_no_fault_in_evaluation(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/1.jpg")
    (tmp_path / "dog").mkdir()
    assert read_split(tmp_path).class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="class folders without images: 1"):
        read_split(tmp_path, is_for_training=True)


def test_roots_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no data folder"):
        open_class_folders(tmp_path / "none")
    (tmp_path / "images.txt").write_text("")
    with pytest.raises(ValueError, match="must hold a folder for each class"):
        open_class_folders(tmp_path)
    with pytest.raises(ValueError, match="must hold images in a folder for each class, got none"):
        read_split(tmp_path)
