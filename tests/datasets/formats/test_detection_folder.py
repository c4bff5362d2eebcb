"""Splits of a folder by what they are for, and parts of a split that are the same each time."""

from collections import Counter
from pathlib import Path

import pytest
from coco_writer import coco_content, write_coco

from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.detection_folder import Part, open_detection_folder
from swin_dense.datasets.formats.split_names import (
    find_training_split,
    find_validation_split,
    order_splits,
    published_name,
    split_in_name,
)
from swin_dense.datasets.samples import Size


def file_of(names: list[str]) -> CocoFile:
    images = [CocoImage(number, name, Size(8, 8)) for number, name in enumerate(names)]
    annotations = [
        CocoAnnotation(image.id, image.id, 1, (0, 0, 4, 4), 16, False, [], None) for image in images
    ]
    return CocoFile(Path("a.json"), images, [], annotations, Counter())


def names_of(coco: CocoFile) -> list[str]:
    return [image.file_name for image in coco.images]


@pytest.mark.parametrize("count", [2, 3, 10, 200])
def test_the_two_parts_are_all_images_once_and_neither_is_empty(count: int) -> None:
    coco = file_of([f"{number}.jpg" for number in range(count)])
    train, val = (
        Part(is_for_validation=is_kept, fraction=0.1).select(coco) for is_kept in (False, True)
    )
    assert sorted(names_of(train) + names_of(val)) == sorted(names_of(coco))
    assert train.images
    assert val.images
    for part in (train, val):
        assert [entry.image_id for entry in part.annotations] == [i.id for i in part.images]


def test_parts_are_the_same_in_another_order() -> None:
    names = [f"{number}.jpg" for number in range(50)]
    part = Part(is_for_validation=True, fraction=0.2)
    assert set(names_of(part.select(file_of(names)))) == set(
        names_of(part.select(file_of(names[::-1])))
    )


def test_copies_that_roboflow_made_of_an_image_stay_together() -> None:
    names = [f"{n}_jpg.rf.{copy * 32}.jpg" for n in range(30) for copy in "abc"]
    kept = names_of(Part(is_for_validation=True, fraction=0.3).select(file_of(names)))
    assert set(Counter(name.split("_")[0] for name in kept).values()) == {3}


def test_a_list_names_images_with_or_without_their_folders(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("b.jpg\n\nx/c.jpg\n")
    part = Part(is_for_validation=True, list_file=tmp_path / "val.txt")
    assert names_of(part.select(file_of(["x/a.jpg", "x/b.jpg", "x/c.jpg"]))) == [
        *("x/b.jpg", "x/c.jpg"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("d.jpg\n", r"must name images of a.json, got 1 that are not in it: d.jpg"),
        ("", r"must name some of the 2 images of a.json, got 0"),
        ("a.jpg\nb.jpg", r"must name some of the 2 images of a.json, got 2"),
    ],
)
def test_a_list_that_gives_no_two_parts_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "val.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        Part(is_for_validation=True, list_file=tmp_path / "val.txt").select(
            file_of(["a.jpg", "b.jpg"])
        )


def test_one_image_cannot_be_divided_and_a_list_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"at least 2 images, got 1, in a\.json"):
        Part(is_for_validation=True, fraction=0.5).select(file_of(["a.jpg"]))
    with pytest.raises(FileNotFoundError, match=r"no list of images none\.txt"):
        Part(is_for_validation=True, list_file=Path("none.txt")).select(file_of(["a", "b"]))


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
