"""Tests of the class tables, and of the class lists that data sets bring."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from swin_dense.datasets.categories import COCO_CATEGORIES, ade20k_classes, read_classes


def test_coco_has_80_classes_with_rising_ids_up_to_90() -> None:
    ids = list(COCO_CATEGORIES)
    assert len(ids) == 80
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (1, 90)
    assert (COCO_CATEGORIES[1], COCO_CATEGORIES[90]) == ("person", "toothbrush")


def test_coco_classes_are_those_of_a_real_file(shared: Path) -> None:
    path = shared / "data" / "coco_mini" / "annotations" / "instances_val2017.json"
    categories = json.loads(path.read_text())["categories"]
    assert {entry["id"]: entry["name"] for entry in categories} == COCO_CATEGORIES


def test_a_class_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / "classes.txt").write_bytes("café\nbar".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt must be text in UTF-8"):
        read_classes(tmp_path)


def test_a_csv_list_is_ordered_by_its_labels(tmp_path):
    (tmp_path / "classes.csv").write_text("label,name,r,g,b\n2,road,4,5,6\n1,sky,1,2,3\n")
    classes = read_classes(tmp_path)
    assert classes.names == ("sky", "road")
    assert classes.colours.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have a header with `name`"),
        ("title\nsky\n", "must have a header with `name`"),
        ("label,name\n1,sky\n3,road\n", "labels must count up from 0 or 1 without gaps"),
        ("label,name\none,sky\n", r"classes\.csv: invalid literal"),
        ("name,r,g,b\nsky,1,2,300\n", "colours must be in 0..255"),
        ("label,name\n0,sky\n1\n", r"a class without name \(number 1, from 0\)"),
        ("name,r,g,b\nsky,1,2,3\nroad,4\n", r"classes\.csv: int\(\)"),
        (f"name\n{'x' * 200_000}\n", r"classes\.csv cannot be read as CSV: field larger"),
        (f"name\n{'x' * 501}\n", "with a name of more than 500 letters"),
    ],
)
def test_class_lists_that_cannot_be_used_are_refused(content, message, tmp_path):
    (tmp_path / "classes.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path)


def test_ade20k_classes_begin_and_end_as_published():
    classes = ade20k_classes()
    assert classes.names[:3] == ("wall", "building", "sky")
    assert classes.names[-1] == "flag"
    assert len(set(classes.names)) == 150
    assert classes.colours[2].tolist() == [6, 230, 230]


def test_ade20k_colours_are_those_of_its_matlab_file(shared):
    colours = scipy.io.loadmat(shared / "data/ade_meta/color150.mat")["colors"]
    assert np.array_equal(ade20k_classes().colours, colours)


def test_a_text_list_skips_empty_lines_and_comments(tmp_path):
    (tmp_path / "classes.txt").write_text("# of the car's camera\n road \n\nsky\n")
    assert read_classes(tmp_path).names == ("road", "sky")


def test_an_empty_text_list_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("# none yet\n")
    with pytest.raises(ValueError, match=r"classes\.txt must have one class name a line, got none"):
        read_classes(tmp_path)


def test_a_folder_without_a_list_has_no_classes(tmp_path):
    assert read_classes(tmp_path) is None
