"""Tests of class tables and colours."""

import json
from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import COCO_CATEGORIES, COCO_CLASS_NAMES, class_colours


def test_coco_has_80_classes_with_rising_ids_up_to_90() -> None:
    ids = list(COCO_CATEGORIES)
    assert len(ids) == 80
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (1, 90)
    assert (COCO_CLASS_NAMES[0], COCO_CATEGORIES[90]) == ("person", "toothbrush")


def test_coco_classes_are_those_of_a_real_file(shared: Path) -> None:
    path = shared / "data" / "coco_mini" / "annotations" / "instances_val2017.json"
    categories = json.loads(path.read_text())["categories"]
    assert {entry["id"]: entry["name"] for entry in categories} == COCO_CATEGORIES


def test_colours_are_distinct_and_do_not_depend_on_how_many_there_are() -> None:
    colours = class_colours(150)
    assert colours.shape == (150, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 150
    assert (class_colours(10) == colours[:10]).all()


def test_no_classes_have_no_colours() -> None:
    assert class_colours(0).shape == (0, 3)
