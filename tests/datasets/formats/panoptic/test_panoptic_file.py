"""Tests of reading and checking COCO panoptic files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panoptic_writer import panoptic_content, write_panoptic

from swin_dense.datasets.formats.panoptic.panoptic_file import PanopticFile, read_panoptic
from swin_dense.datasets.formats.panoptic.segment_pngs import encode_segment_ids
from swin_dense.datasets.samples import Segment


def _read(root: Path, content: Any) -> PanopticFile:
    path = write_panoptic(root, content)
    return read_panoptic(path, png_folder=path.with_suffix(""), image_folder=root / "val2017")


def test_images_segments_and_categories_are_read(tmp_path: Path) -> None:
    file = _read(tmp_path, panoptic_content())
    assert [image.id for image in file.images] == [5, 9]
    assert file.png_names == ["five.png", "nine.png"]
    assert [(c.id, c.name, c.is_thing) for c in file.categories] == [
        (3, "sky", False),
        (7, "person", True),
    ]
    assert file.categories[1].colour == (220, 20, 60)
    assert file.segments[1] == [
        Segment(300, 1, 300, False),
        Segment(70_000, 1, 120, True),
        Segment(9, 0, 155, False),
    ]
    assert file.segments.count_labels(2).tolist() == [2, 4]


def test_image_ids_may_be_names(tmp_path: Path) -> None:
    content = panoptic_content()
    for entry, key in ((content["images"][0], "id"), (content["annotations"][1], "image_id")):
        entry[key] = "ADE_val_00000005"
    assert _read(tmp_path, content).images[0].id == "ADE_val_00000005"


FAULTS: list[tuple[list[Any], Any, str]] = [
    (["images", 0, "id"], None, r"images without a whole number or a name as id: 1 \(#0\)"),
    (["images", 1, "id"], 5, r"images with the id of another: 1 \(5\)"),
    (["images", 0, "height"], 0, r"images without width and height .*: 1 \(5\)"),
    (["images", 0, "file_name"], "gone.jpg", r"image files missing in .* \(gone.jpg of image 5\)"),
    (["categories", 0, "isthing"], None, r"categories whose isthing is not 0 or 1: 1 \(7\)"),
    (["categories", 0, "id"], 3, r"categories with the id of another: 1 \(3\)"),
    (["categories", 0, "name"], " ", r"categories without name: 1 \(7\)"),
    (["annotations", 0, "image_id"], 77, r"of an unknown image: 1 \(77\).*without an annot.*\(9\)"),
    (["annotations", 0, "image_id"], 5, r"annotations with the image_id of another: 1 \(5\)"),
    (["annotations", 0, "file_name"], "no.png", r"PNGs missing in .*: 1 \(no.png of image 9\)"),
    (["annotations", 0, "file_name"], "\0", r"annotations without a file_name: 1 \(9\)"),
    (["annotations", 0, "segments_info"], {}, r"segments_info is no list .*: 1 \(9\)"),
    (["annotations", 0, "segments_info", 1], 3, r"as id: 1 \(#1 of image 9\)"),
    (["annotations", 0, "segments_info", 1, "id"], 0, r"in 1\.\.16777215 as id: 1 \(#1 of image"),
    (["annotations", 0, "segments_info", 1, "id"], 9, r"id of another in .*: 1 \(9 of image 9\)"),
    (["annotations", 0, "segments_info", 0, "category_id"], 4, r"unknown category: 1 \(300 of"),
    (["annotations", 0, "segments_info", 0, "category_id"], [], r"unknown category: 1 \(300 of"),
    (["annotations", 0, "segments_info", 0, "iscrowd"], 2, r"iscrowd is not 0 or 1: 1 \(300 of"),
    (["annotations", 0, "segments_info", 0, "area"], "x", r"area is not a number of px: 1 \(300"),
]


@pytest.mark.parametrize(("place", "value", "message"), FAULTS)
def test_faults_are_named_with_their_place(
    tmp_path: Path, place: list[Any], value: Any, message: str
) -> None:
    content = json.loads(json.dumps(panoptic_content()))
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(ValueError, match=message) as caught:
        _read(tmp_path, content)
    assert "panoptic_val2017.json cannot be used; " in str(caught.value)


def test_pngs_of_another_size_and_no_pngs_are_named_together(tmp_path: Path) -> None:
    path = write_panoptic(tmp_path, panoptic_content())
    pngs = path.with_suffix("")
    (pngs / "five.png").write_bytes(encode_segment_ids(np.zeros((4, 6), np.int64)))
    (pngs / "nine.png").write_text("none")
    with pytest.raises(ValueError, match="PNGs of another size") as caught:
        read_panoptic(path, png_folder=pngs)
    assert "five.png has 6 x 4 px and image 5 has 30 x 20" in str(caught.value)
    assert "PNGs that cannot be read: 1 (" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be a JSON file"),
        ([], "is not a COCO panoptic file: it has no list 'images'"),
        ({"images": [{}], "annotations": [{}]}, "it has no list 'categories'"),
        ({"images": [{}], "annotations": [], "categories": [{}]}, "entry in 'annotations', got no"),
        (
            {"images": [{}], "annotations": [{"bbox": []}], "categories": [{}]},
            "its annotations have no 'segments_info'",
        ),
    ],
)
def test_a_file_that_is_not_panoptic_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _read(tmp_path, content)
    assert "panoptic_val2017.json" in str(caught.value)
