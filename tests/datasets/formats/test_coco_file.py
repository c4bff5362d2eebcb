"""Tests of reading and checking COCO files: odd ones give one clear line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_writer import annotation, coco_content, write_coco

from swin_dense.datasets.formats.coco_file import check_run_lengths, read_coco, read_coco_images
from swin_dense.datasets.masks import decompress

Content = dict[str, Any]


def _read(root: Path, content: Any) -> Any:
    path = write_coco(root, content)
    return read_coco(path, image_folder=root / "val2017")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    coco = _read(tmp_path, coco_content())
    assert [(image.id, image.size) for image in coco.images] == [(5, (40, 60)), (9, (40, 60))]
    assert [(category.id, category.name) for category in coco.categories] == [
        (3, "cat"),
        (7, "dog"),
    ]
    first = coco.annotations[0]
    assert (first.id, first.image_id, first.category_id, first.is_crowd) == (11, 5, 7, False)
    assert (first.box, first.area) == ((10, 5, 20, 15), 300)
    assert first.polygons[0].tolist() == [[10, 5], [30, 5], [30, 20], [10, 20]]
    assert not coco.left_out


# A change to a good file, and the message it must raise.
FAULTS: dict[str, tuple[Callable[[Content], object], str]] = {
    "image without id": (lambda c: c["images"][0].pop("id"), r"images without .* id: 1 \(#0\)"),
    "image id is text": (lambda c: c["images"][0].update(id="5"), r"images without .* id: 1"),
    "image id is true": (lambda c: c["images"][0].update(id=True), r"images without .* id: 1"),
    "image id is broken": (lambda c: c["images"][0].update(id=5.5), r"images without .* id: 1"),
    "image is a number": (lambda c: c["images"].append(4), r"images without .* id: 1 \(#2\)"),
    "image is null": (lambda c: c["images"].append(None), r"images without .* id: 1 \(#2\)"),
    "image ids doubled": (lambda c: c["images"][1].update(id=5), r"images with the id .*\(5\)"),
    "image without name": (lambda c: c["images"][0].pop("file_name"), r"without file_name.*\(5\)"),
    "image name empty": (
        lambda c: c["images"][0].update(file_name=""),
        r"without file_name.*\(5\)",
    ),
    "image name a number": (lambda c: c["images"][0].update(file_name=5), r"without file_name"),
    "image without width": (lambda c: c["images"][0].pop("width"), r"width and height .*: 1 \(5\)"),
    "image height zero": (lambda c: c["images"][0].update(height=0), r"width and height .*\(5\)"),
    "image height negative": (lambda c: c["images"][0].update(height=-4), r"width and height"),
    "image width is text": (lambda c: c["images"][0].update(width="60"), r"width and height"),
    "image width is null": (lambda c: c["images"][0].update(width=None), r"width and height"),
    "image file missing": (
        lambda c: c["images"][0].update(file_name="gone/away.jpg"),
        r"image files missing in .*val2017: 1 \(gone/away.jpg of image 5\)",
    ),
    "category without id": (lambda c: c["categories"][0].pop("id"), r"categories without .* id"),
    "category ids doubled": (lambda c: c["categories"][0].update(id=3), r"categories with the id"),
    "category without name": (lambda c: c["categories"][0].pop("name"), r"without name: 1 \(7\)"),
    "category name a number": (lambda c: c["categories"][0].update(name=7), r"without name"),
    "category is text": (lambda c: c["categories"].append("dog"), r"categories without .*\(#2\)"),
    "annotation without id": (
        lambda c: c["annotations"][0].pop("id"),
        r"annotations without .* id",
    ),
    "annotation ids doubled": (
        lambda c: c["annotations"][1].update(id=11),
        r"annotations with the id of another: 1 \(11\)",
    ),
    "annotation is a list": (
        lambda c: c["annotations"].append([]),
        r"annotations without .*\(#3\)",
    ),
    "unknown image": (lambda c: c["annotations"][0].update(image_id=6), r"unknown image: 1 \(11\)"),
    "no image": (lambda c: c["annotations"][0].pop("image_id"), r"unknown image: 1 \(11\)"),
    "image id as text": (lambda c: c["annotations"][0].update(image_id="5"), r"unknown image"),
    "image id as list": (lambda c: c["annotations"][0].update(image_id=[5]), r"unknown image"),
    "unknown category": (
        lambda c: c["annotations"][0].update(category_id=1),
        r"unknown category: 1 \(11\)",
    ),
    "no category": (lambda c: c["annotations"][0].pop("category_id"), r"unknown category"),
    "no box": (lambda c: c["annotations"][0].pop("bbox"), r"bbox is not four .*: 1 \(11\)"),
    "box of three": (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"bbox is not four"),
    "box of text": (lambda c: c["annotations"][0].update(bbox=list("abcd")), r"bbox is not four"),
    "box is null": (lambda c: c["annotations"][0].update(bbox=None), r"bbox is not four"),
    "box of null": (lambda c: c["annotations"][0].update(bbox=[None] * 4), r"bbox is not four"),
    "box infinite": (
        lambda c: c["annotations"][0].update(bbox=[0, 0, float("inf"), 1]),
        r"bbox is not four finite",
    ),
    "box huge": (lambda c: c["annotations"][0].update(bbox=[0, 0, 10**400, 1]), r"bbox is not"),
    "box far away": (
        lambda c: c["annotations"][0].update(bbox=[0, 0, 1e20, 1]),
        r"beyond 1e\+07 px",
    ),
    "area beyond all images": (lambda c: c["annotations"][0].update(area=1e20), r"beyond 1e\+14"),
    "id beyond all tensors": (
        lambda c: c["annotations"][0].update(id=2**63),
        r"whole number as id",
    ),
    "image giant": (
        lambda c: c["images"][0].update(width=30_000, height=30_000),
        r"too large: 1 \(image 5 states 30000 x 30000 px",
    ),
    "name of half a letter": (
        lambda c: c["categories"][0].update(name="\ud800"),
        r"lone surrogate\): 1 \(7\)",
    ),
    "name endless": (lambda c: c["categories"][0].update(name="x" * 501), r"more than 500 letters"),
    "file name cut short": (
        lambda c: c["images"][0].update(file_name="a\0.png"),
        r"zero byte in file_name: 1 \(5\)",
    ),
    "area is text": (lambda c: c["annotations"][0].update(area="12"), r"area is not .*\(11\)"),
    "area is not a number": (
        lambda c: c["annotations"][0].update(area=float("nan")),
        r"area is not a finite",
    ),
    "crowd of two": (lambda c: c["annotations"][0].update(iscrowd=2), r"iscrowd is not 0 or 1"),
    "crowd is text": (lambda c: c["annotations"][0].update(iscrowd="no"), r"iscrowd is not 0 or 1"),
    "mask is text": (lambda c: c["annotations"][0].update(segmentation="x"), r"neither polygons"),
    "mask is flat": (
        lambda c: c["annotations"][0].update(segmentation=[1, 2, 3, 4, 5, 6]),
        r"polygon that is no list of finite numbers: 1 \(11\)",
    ),
    "polygon of points": (
        lambda c: c["annotations"][0].update(segmentation=[[[1, 2], [3, 4], [5, 6]]]),
        r"polygon that is no list",
    ),
    "polygon of text": (
        lambda c: c["annotations"][0].update(segmentation=[["1", "2", "3", "4", "5", "6"]]),
        r"polygon that is no list",
    ),
    "polygon ragged": (
        lambda c: c["annotations"][0].update(segmentation=[[1, [2, 3], 4]]),
        r"polygon that is no list",
    ),
    "polygon not finite": (
        lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, float("nan")]]),
        r"polygon that is no list of finite",
    ),
    "runs without size": (
        lambda c: c["annotations"][0].update(segmentation={"counts": [2400]}),
        r"run lengths are not of their image's size: 1 \(11\)",
    ),
    "runs of width x height": (
        lambda c: c["annotations"][0].update(segmentation={"size": [60, 40], "counts": [2400]}),
        r"not of their image's size",
    ),
    "runs too short": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [2399]}),
        r"do not sum to height \* width",
    ),
    "runs negative": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [2401, -1]}),
        r"do not sum",
    ),
    "runs beyond any number": (
        lambda c: c["annotations"][0].update(
            segmentation={"size": [40, 60], "counts": [2400, 10**400]}
        ),
        r"do not sum",
    ),
    "runs broken": (
        lambda c: c["annotations"][0].update(
            segmentation={"size": [40, 60], "counts": [2399.5, 0.5]}
        ),
        r"neither a string nor a list of whole numbers",
    ),
    "runs missing": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60]}),
        r"neither a string nor a list",
    ),
    "runs as damaged text": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": "PPP"}),
        r"cannot be decompressed",
    ),
    "runs as foreign text": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": "äö"}),
        r"cannot be decompressed",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_with_the_file_and_the_id(tmp_path: Path, name: str) -> None:
    change, message = FAULTS[name]
    content = coco_content()
    change(content)
    with pytest.raises(ValueError, match=message) as caught:
        _read(tmp_path, content)
    assert "instances_val2017.json cannot be used; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be a JSON file"),
        ("{", "must be a JSON file"),
        ("[" * 100_000, "must be a JSON file"),
        ("\x00\x01", "must be a JSON file"),
        ([], "no list 'images'"),
        ("null", "no list 'images'"),
        ({"info": {}}, "no list 'images'"),
        ({"images": {}}, "no list 'images'"),
        ({"images": [{}], "categories": [{}]}, "no list 'annotations'"),
        ({"images": [{}], "annotations": [{"caption": "a dog"}]}, "no list 'categories'"),
        ({"images": [], "annotations": [], "categories": [{}]}, "at least one entry in 'images'"),
        ({"images": [{}], "annotations": [], "categories": []}, "one entry in 'categories'"),
    ],
)
def test_a_file_that_is_not_coco_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _read(tmp_path, content)
    assert "instances_val2017.json" in str(caught.value)


def test_images_are_read_without_annotations(tmp_path: Path) -> None:
    path = tmp_path / "image_info_test2017.json"
    path.write_text(json.dumps({"images": coco_content()["images"], "categories": []}))
    assert read_coco_images(path) == _read(tmp_path / "whole", coco_content()).images


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a COCO file: it has no list 'images'"),
        ({"images": 3}, "is not a COCO file: it has no list 'images'"),
        ({"images": []}, "at least one entry in 'images', got none"),
        ({"images": [{"id": 1, "height": 4, "width": 4}]}, "images without file_name: 1"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}]}, "images without width and height"),
    ],
)
def test_images_that_cannot_be_used_are_named(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "some.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_coco_images(tmp_path / "some.json")
    assert "some.json" in str(caught.value)


def test_bytes_that_are_no_text_are_not_json(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"odd\.json must be text in UTF-8"):
        read_coco(tmp_path / "odd.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        read_coco(tmp_path / "gone.json")


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "gone.png"
    content["images"][1]["width"] = None
    content["annotations"][0]["category_id"] = 99
    content["annotations"][1]["image_id"] = 98
    content["annotations"][2]["bbox"] = []
    path = write_coco(tmp_path, content)
    (tmp_path / "val2017" / "gone.png").unlink()
    with pytest.raises(ValueError, match=r"gone\.png of image 5") as caught:
        read_coco(path, image_folder=tmp_path / "val2017")
    for part in ("height in whole px", "category: 1 (11)", "image: 1 (12)", "numbers: 1 (13)"):
        assert part in str(caught.value)


def test_long_lists_of_faults_are_cut_but_counted(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [
        annotation(i, image_id=4, box=[0, 0, 9, 9]) for i in range(1000, 1500)
    ]
    with pytest.raises(ValueError, match=r"unknown image: 500 \(1000, .*, 1019, \.\.\.\)"):
        _read(tmp_path, content)


def test_harmless_oddities_are_taken(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0].update(width=60.0, id=5.0)
    for field in ("area", "iscrowd", "segmentation"):
        del content["annotations"][0][field]
    content["annotations"][1]["segmentation"] = None
    content["annotations"][2]["id"] = 0
    coco = read_coco(write_coco(tmp_path, "\ufeff" + json.dumps(content)))
    assert coco.images[0].size == (40, 60)
    assert (coco.annotations[0].area, coco.annotations[0].is_crowd) == (300, False)
    assert coco.annotations[0].polygons == coco.annotations[1].polygons == []


def test_unusable_polygons_are_left_out_and_counted(tmp_path: Path) -> None:
    content = coco_content()
    good = content["annotations"][0]["segmentation"][0]
    far = [0, 0, 1e9, 0, 1e9, 1e9]
    content["annotations"][0]["segmentation"] = [[1, 2, 3, 4], [], good, [1, 2, 3, 4, 5, 6, 7], far]
    coco = _read(tmp_path, content)
    assert [part.ravel().tolist() for part in coco.annotations[0].polygons] == [good]
    assert coco.left_out == {
        "polygons of fewer than 3 points": 3,
        "polygons far outside the image": 1,
    }


def test_run_lengths_are_read_compressed_and_not() -> None:
    runs = {"size": [2, 3], "counts": [1, 2, 3]}
    mask = check_run_lengths(runs, (2, 3))
    assert decompress([mask])[0].tolist() == [[0, 1, 0], [1, 0, 0]]
    text = {"size": [2, 3], "counts": mask["counts"].decode()}
    assert check_run_lengths(text, (2, 3)) == mask


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_real_annotations_have_no_faults(shared: Path, split: str) -> None:
    root = shared / "data" / "coco_mini"
    path = root / "annotations" / f"instances_{split}.json"
    coco = read_coco(path, image_folder=root / split)
    assert len(coco.images) == 80
    assert sum(annotation.is_crowd for annotation in coco.annotations) in (6, 11)
    assert np.array([c.id for c in coco.categories]).max() == 90


def test_too_many_categories_are_refused(tmp_path: Path) -> None:
    content = coco_content()
    content["categories"] += [{"id": 100 + i, "name": f"c{i}"} for i in range(20_000)]
    with pytest.raises(ValueError, match="at most 20000 categories, got 20002"):
        read_coco(write_coco(tmp_path, content))


@pytest.mark.parametrize("text", ["[" * 10**5, "9" * 5000, '{"images": ', "NaN"])
def test_json_that_no_reader_can_use_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"instances_val2017\.json (must be a JSON|is not a COCO)"):
        read_coco(write_coco(tmp_path, text))


def test_two_lists_of_one_name_are_refused_and_the_word_elsewhere_is_not(tmp_path: Path) -> None:
    content = coco_content() | {"info": {"images": 3, "annotations": "many"}}
    assert len(read_coco(write_coco(tmp_path / "one", content)).images) == 2
    text = json.dumps(content)
    text = text.replace("{", '{"annotations": [], ', 1)
    with pytest.raises(ValueError, match="must have one list 'annotations', got several"):
        read_coco(write_coco(tmp_path / "two", text))
