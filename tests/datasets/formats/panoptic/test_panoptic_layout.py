"""Splits of panoptic data, and the one that is divided."""

from pathlib import Path

import pytest
from panoptic_writer import panoptic_content, write_panoptic

from swin_dense.datasets.formats.panoptic.panoptic_layout import find_split_to_divide


def test_the_split_to_divide_is_the_one_for_training(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no panoptic split 'train2017' to divide"):
        find_split_to_divide(tmp_path, "train2017")
    write_panoptic(tmp_path, panoptic_content(), split="train")
    assert find_split_to_divide(tmp_path, "train2017") == "train"
    write_panoptic(tmp_path, panoptic_content(), split="valid")
    with pytest.raises(ValueError, match=r"without a validation split, got valid in"):
        find_split_to_divide(tmp_path, "train2017")
