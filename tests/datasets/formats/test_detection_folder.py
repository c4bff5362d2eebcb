"""Splits of a folder by what they are for, and parts of a split that are the same each time."""

from pathlib import Path

import pytest
from coco_writer import coco_content, write_coco

from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.formats.split_names import (
    find_training_split,
    find_validation_split,
    order_splits,
    published_name,
    split_in_name,
)


def test_splits_are_known_by_many_names() -> None:
    names = ["extra", "test", "valid", "train"]
    assert order_splits(names) == ["train", "valid", "test", "extra"]
    assert find_training_split(["Training", "test"]) == "Training"
    assert find_training_split(["default", "val"]) == "default"
    assert find_training_split(["a", "b"]) is None
    assert find_validation_split(["train", "dev"]) == "dev"
    assert find_validation_split(["train", "test"]) is None
    assert published_name("valid") == "val2017"
    assert published_name("default") == "default"
    assert split_in_name("annotations_val-v2") == "val"
    assert split_in_name("evaluate_me") is None


def test_a_missing_validation_split_is_said_with_what_is_there_and_the_flags(
    tmp_path: Path,
) -> None:
    write_coco(tmp_path, coco_content(), split="train2017")
    folder = open_detection_folder(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=r"no split 'val2017' .*: train2017; .*--data.val-split.*--data.val-fraction 0.1",
    ):
        folder.choose_validation_split("val2017", default="val2017", trains=True)
    with pytest.raises(FileNotFoundError, match=r"with --split, or .* --val-fraction 0.1"):
        folder.choose_validation_split("val2017", default="val2017", trains=False)
    with pytest.raises(FileNotFoundError, match=r"no split 'mine' .*--data.train-split"):
        folder.choose_training_split("mine", default="train2017")


def test_a_folder_with_a_validation_split_is_not_divided(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        write_coco(tmp_path, coco_content(), split=split)
    with pytest.raises(ValueError, match="is for data without a validation split, got val2017"):
        open_detection_folder(tmp_path).choose_split_to_divide("train2017", default="train2017")
