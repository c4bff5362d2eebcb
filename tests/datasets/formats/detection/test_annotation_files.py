"""COCO-format files in other places: one table of classes, and what exports do to them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_writer import annotation, coco_content, write_coco
from detection_layouts import write_json
from PIL import Image

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.formats.table import find_detection_format
from swin_dense.datasets.images import read_image

Change = Callable[[dict[str, Any]], None]


def write_roboflow_split(root: Path, split: str, content: dict[str, Any]) -> None:
    written = write_coco(root / "made", content, split=split)
    (root / "made" / split).rename(root / split)
    written.rename(root / split / "_annotations.coco.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Roboflow export of two splits with the same classes."""
    for split in ("train", "valid"):
        write_roboflow_split(tmp_path, split, coco_content())
    return tmp_path


def change(root: Path, split: str, edit: Change) -> None:
    path = root / split / "_annotations.coco.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def read(root: Path, split: str) -> CocoFile:
    return open_detection_folder(root, "roboflow").read(split)[0]


def test_ids_that_differ_between_splits_are_translated_by_name(root: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        ids = {3: 7, 7: 3}
        for entry in content["categories"]:
            entry["id"] = ids[entry["id"]]
        for entry in content["annotations"]:
            entry["category_id"] = ids[entry["category_id"]]

    change(root, "valid", swap)
    train, valid = read(root, "train"), read(root, "valid")
    assert valid.categories == train.categories == [(3, "cat"), (7, "dog")]
    ids = [[entry.category_id for entry in coco.annotations] for coco in (train, valid)]
    assert ids[0] == ids[1] == [7, 3, 3]


def test_classes_that_differ_between_splits_are_refused_by_name(root: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["categories"][0]["name"] = "hound"

    change(root, "valid", rename)
    with pytest.raises(
        ValueError, match=r"same categories in all splits, got 2 .*'dog' only in tr"
    ):
        read(root, "train")


def test_a_category_is_left_out_only_if_no_split_uses_it(root: Path) -> None:
    def drop_dogs(content: dict[str, Any]) -> None:
        entries = content["annotations"]
        content["annotations"] = [entry for entry in entries if entry["category_id"] != 7]

    change(root, "train", drop_dogs)
    assert [name for _, name in read(root, "train").categories] == ["cat", "dog"]
    change(root, "valid", drop_dogs)
    for split in ("train", "valid"):
        coco = read(root, split)
        assert coco.categories == [(3, "cat")]
        assert coco.notes == ("1 category that no annotation uses left out ('dog')",)


def test_a_class_of_crowds_is_named(root: Path) -> None:
    def mark(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1

    change(root, "train", mark)
    (note,) = read(root, "train").notes
    assert note.startswith("1 of 1 annotations of 'dog' are marked iscrowd and not trained on")


def test_missing_images_are_named(root: Path) -> None:
    (root / "train" / "five.png").unlink()
    (root / "valid" / "five.png").unlink()
    with pytest.raises(ValueError, match=r"image files missing in .*: 1 \(five.png of image 5\)"):
        read(root, "train")


@pytest.mark.parametrize(
    "name",
    [
        "five.png",
        "images/five.png",
        "images\\five.png",
        "../../label-studio/media/upload/4/five.png",
        "/data/local-files/?d=set/five.png",
        "https://example.org/data/five.png",
        "C:\\shots\\five.png",
        "0123abcd-five.png",
    ],
)
def test_names_with_foreign_folders_are_found(name: str, tmp_path: Path) -> None:
    content = coco_content()
    written = write_coco(tmp_path, content, split="images")
    content["images"][0]["file_name"] = name
    write_json(tmp_path / "result.json", content)
    written.unlink()
    written.parent.rmdir()
    coco, folder = open_detection_folder(tmp_path).read("all")
    assert [image.file_name for image in coco.images] == ["five.png", "nine.png"]
    assert folder == tmp_path / "images"


def test_a_name_that_two_images_have_is_not_guessed(tmp_path: Path) -> None:
    content = coco_content()
    for folder in ("a", "b"):
        written = write_coco(tmp_path / "pictures", content, split=folder)
        written.unlink()
    written.parent.rmdir()
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(ValueError, match=r"names that several image files .* have: 2 \(five.png"):
        open_detection_folder(tmp_path).read("all")
    for folder, image in zip("ab", content["images"], strict=True):
        image["file_name"] = f"{folder}/{image['file_name']}"
    write_json(tmp_path / "labels.json", content)
    coco, folder = open_detection_folder(tmp_path).read("all")
    assert [(folder / image.file_name).parent.name for image in coco.images] == ["a", "b"]


def many_boxes(boxes: list[list[float]]) -> dict[str, Any]:
    content = coco_content()
    content["annotations"] = [annotation(n, box=box) for n, box in enumerate(boxes, start=1)]
    return content


def test_corners_in_place_of_width_and_height_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, many_boxes([[20 + n, 15, 50 + n, 38] for n in range(10)]))
    with pytest.raises(ValueError, match=r"got two corners: .* 10 of 10 boxes reach out"):
        open_detection_folder(tmp_path).read("val2017")


def test_shares_of_the_image_in_place_of_px_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, many_boxes([[0.1, 0.2, 0.3, 0.05 * n] for n in range(1, 11)]))
    with pytest.raises(ValueError, match=r"got shares of the image: all numbers of 10 boxes"):
        open_detection_folder(tmp_path).read("val2017")


def test_two_layouts_in_one_folder_are_both_named_with_the_flag(root: Path) -> None:
    write_coco(root, coco_content(), split="val2017")
    with pytest.raises(
        ValueError, match=r"2 layouts .*: coco \(COCO\) and roboflow .*--data.format coco"
    ):
        find_detection_format(root)
    assert find_detection_format(root, "roboflow")[0] == "roboflow"
    with pytest.raises(ValueError, match="unknown layout 'cocoo'; choose one of coco, roboflow"):
        find_detection_format(root, "cocoo")


def test_files_that_speak_of_one_split_twice_are_refused(tmp_path: Path) -> None:
    for name in ("train.json", "train_v2.json"):
        write_json(tmp_path / name, coco_content())
    with pytest.raises(ValueError, match=r"one annotation file for each split, got .*train_v2"):
        open_detection_folder(tmp_path)


def test_splits_are_read_from_the_names_of_files_and_folders(tmp_path: Path) -> None:
    written = write_coco(tmp_path, coco_content(), split="images")
    write_json(tmp_path / "annotations" / "annotations_val.json", coco_content())
    written.rename(tmp_path / "annotations" / "annotations_train.json")
    folder = open_detection_folder(tmp_path)
    assert (folder.key, folder.splits) == ("coco_files", ("train", "val"))
    assert len(folder.read("val")[0].images) == 2


def write_label_studio(root: Path, sizes: dict[str, Any]) -> None:
    """An export whose first image states these sizes."""
    content = coco_content()
    written = write_coco(root, content, split="images")
    written.unlink()
    written.parent.rmdir()
    for key in ("height", "width"):
        del content["images"][0][key]
    content["images"][0] |= sizes
    write_json(root / "result.json", content)


@pytest.mark.parametrize("sizes", [{}, {"height": None, "width": None}])
def test_sizes_that_label_studio_leaves_out_are_those_of_the_files(
    sizes: dict[str, Any], tmp_path: Path
) -> None:
    write_label_studio(tmp_path, sizes)
    coco, _ = open_detection_folder(tmp_path).read("all")
    assert [tuple(image.size) for image in coco.images] == [(40, 60), (40, 60)]
    assert any("sizes of 1 images" in note for note in coco.notes)
    image = Image.new("RGB", (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "images" / "five.png", exif=exif)
    coco, folder = open_detection_folder(tmp_path).read("all")
    assert tuple(coco.images[0].size) == (60, 40)
    assert read_image(folder / "five.png", stated_size=(60, 40)).shape == (60, 40, 3)


def test_sizes_that_no_file_gives_are_refused_by_id(tmp_path: Path) -> None:
    write_label_studio(tmp_path, {"height": 40})
    folder = open_detection_folder(tmp_path)
    with pytest.raises(ValueError, match=r"images without width and height .*: 1 \(5\)"):
        folder.read("all")
    other = tmp_path / "other"
    write_label_studio(other, {})
    five = other / "images" / "five.png"
    five.unlink()
    with pytest.raises(ValueError, match=r"images without width and height .*: 1 \(5\)"):
        open_detection_folder(other).read("all")
    five.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"five.png cannot be read as an image"):
        open_detection_folder(other).read("all")
