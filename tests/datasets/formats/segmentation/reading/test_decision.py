"""Meaning of numbers and colours in label maps: decided by the files, or asked for."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import segmentation_layouts as layouts
from PIL import Image

from swin_dense.datasets.formats.segmentation.segmentation_folder import SegmentationFolder
from swin_dense.datasets.formats.segmentation.table import open_segmentation


def write(root: Path, *label_maps: list[int] | np.ndarray, names: int | None = 3) -> Path:
    """An ADE20K root with a label map for each row of numbers, the last for validation."""
    for index, numbers in enumerate(label_maps):
        split = "validation" if index == len(label_maps) - 1 else "training"
        array = np.asarray(numbers, np.uint8)
        array = array[None] if array.ndim == 1 else array
        layouts.save(
            np.zeros((*array.shape[:2], 3), np.uint8), root / f"images/{split}/{index}.png"
        )
        layouts.save(array, root / f"annotations/{split}/{index}.png")
    if names is not None:
        (root / "classes.txt").write_text("".join(f"name {i}\n" for i in range(names)))
    return root


def read(folder: SegmentationFolder, split: str = "validation") -> list[int]:
    pair = folder.find_split(split)[1].images[0]
    return folder.reading.encoding.read(pair.label_map).ravel().tolist()


def test_numbers_from_0_beside_255_are_not_shifted(tmp_path: Path) -> None:
    folder = open_segmentation(write(tmp_path, [0, 1, 255], [0, 1, 2]))
    assert folder.reading.reduce_zero_label is False
    assert read(folder) == [0, 1, 2]
    assert read(folder, "training") == [0, 1, 255]


def test_a_number_that_only_the_last_of_1_to_k_can_be_decides(tmp_path: Path) -> None:
    folder = open_segmentation(write(tmp_path, [0, 1, 3], [0, 1, 2]))
    assert folder.reading.reduce_zero_label is True
    assert read(folder) == [255, 0, 1]


def test_both_splits_decide_together(tmp_path: Path) -> None:
    assert open_segmentation(write(tmp_path, [0, 1], [0, 255])).reading.reduce_zero_label is False


@pytest.mark.parametrize("numbers", [[0, 1, 2], [1, 2, 255]])
def test_numbers_with_two_readings_are_asked_for_in_one_line(
    numbers: list[int], tmp_path: Path
) -> None:
    root = write(tmp_path, numbers, numbers)
    with pytest.raises(ValueError, match=r"say --data\.reduce-zero-label true or") as raised:
        open_segmentation(root)
    assert "\n" not in str(raised.value)
    assert "1 may be 'name 0' and 0 ignored, or 0 may be 'name 0'" in str(raised.value)
    assert open_segmentation(root, reduce_zero_label=True).reading.reduce_zero_label is True
    assert read(open_segmentation(root, reduce_zero_label=False)) == numbers


def test_ade20k_s_own_files_are_not_asked_about(tmp_path: Path) -> None:
    for name in ("ADE_train_00000001", "ADE_train_00000002"):
        layouts.save(np.zeros((2, 2, 3), np.uint8), tmp_path / f"images/training/{name}.png")
        layouts.save(np.ones((2, 2), np.uint8), tmp_path / f"annotations/training/{name}.png")
    folder = open_segmentation(tmp_path)
    assert folder.reading.reduce_zero_label is True
    assert "no classes.txt, so ADE20K's names are assumed: wall, building" in folder.describe()


def test_numbers_of_a_class_list_decide(tmp_path: Path) -> None:
    root = write(tmp_path, [0, 1, 2], [0, 1, 2], names=None)
    for first, expected in ((0, [0, 1, 2]), (1, [255, 0, 1])):
        rows = "".join(f"{first + index},name {index}\n" for index in range(3))
        (root / "classes.csv").write_text(f"label,name\n{rows}")
        assert read(open_segmentation(root)) == expected


def test_a_number_beyond_the_classes_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1\.\.3 or 255 .* got the numbers 9 in .*0\.png"):
        open_segmentation(write(tmp_path, [0, 9], [0, 1]))


def test_one_class_has_a_background_beside_it(tmp_path: Path) -> None:
    folder = open_segmentation(write(tmp_path, [0, 1], [0, 1], names=1))
    assert folder.reading.classes.names == ("background", "name 0")
    assert read(folder) == [0, 1]


def test_colours_without_a_table_are_refused_with_what_to_write(tmp_path: Path) -> None:
    colours = np.array([[[200, 0, 0], [0, 200, 0]]], np.uint8)
    root = write(tmp_path, colours, colours)
    with pytest.raises(ValueError, match=r"\(0, 200, 0\) in 2 files.*header name,r,g,b"):
        open_segmentation(root)
    (root / "classes.txt").unlink()
    (root / "classes.csv").write_text("name,r,g,b\nred,200,0,0\n")
    with pytest.raises(ValueError, match=r"those of the classes .*got \(0, 200, 0\) in 2 files"):
        open_segmentation(root)
    (root / "classes.csv").write_text("name,r,g,b\nred,200,0,0\ngreen, 0, 200, 0\n")
    assert read(open_segmentation(root)) == [0, 1]
    with pytest.raises(ValueError, match="is for label maps of class numbers, got colours"):
        open_segmentation(root, reduce_zero_label=True)


def test_colours_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    root = write(tmp_path, np.array([[[200, 0, 0]]], np.uint8), [0])
    with pytest.raises(ValueError, match="got 1 with colours among 2 label maps"):
        open_segmentation(root)


def test_a_colour_mask_with_greys_alone_is_one_of_colours(tmp_path: Path) -> None:
    grey, red = np.full((1, 2, 3), 90, np.uint8), np.array([[[200, 0, 0], [0, 0, 0]]], np.uint8)
    root = write(tmp_path, grey, red, names=None)
    (root / "classes.csv").write_text("name,r,g,b\nground,90,90,90\nred,200,0,0\n")
    folder = open_segmentation(root)
    assert read(folder, "training") == [0, 0]
    assert read(folder) == [1, 255]


def test_numbers_in_three_equal_channels_are_numbers(tmp_path: Path) -> None:
    stored = np.repeat(np.array([[0, 1, 3]], np.uint8)[..., None], 3, axis=2)
    assert read(open_segmentation(write(tmp_path, stored, stored))) == [255, 0, 2]


def test_palettes_that_differ_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, [0, 1, 255], [0, 1, 255])
    for split, index, second in (("training", 0, 200), ("validation", 1, 100)):
        palette = np.array([[0, 0, 0], [second, 0, 0]], np.uint8)
        layouts.save(
            np.array([[0, 1]], np.uint8), root / f"annotations/{split}/{index}.png", palette
        )
    with pytest.raises(ValueError, match=r"got \(200, 0, 0\) for number 1 in .*\(100, 0, 0\)"):
        open_segmentation(root)


def test_jpeg_masks_have_two_classes_and_no_more(tmp_path: Path) -> None:
    shape = np.zeros((64, 64), np.uint8)
    cv2.circle(shape, (30, 30), 14, 255, -1)
    root = write(tmp_path, shape, shape, names=None)
    for path in list((root / "annotations").rglob("*.png")):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    folder = open_segmentation(root)
    assert folder.reading.classes.names == ("background", "foreground")
    assert read(folder) == (shape.ravel() == 255).astype(int).tolist()
    (root / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(ValueError, match="must not be stored as JPEG"):
        open_segmentation(root)


def test_numbers_with_gaps_and_no_names_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    layouts.save(np.zeros((1, 4, 3), np.uint8), root / "images/a.png")
    layouts.save(np.array([[0, 85, 170, 255]], np.uint8), root / "masks/a.png")
    with pytest.raises(ValueError, match="must count up from 0 or 1 where no list names"):
        open_segmentation(root)


def test_numbers_without_names_are_named_by_themselves(tmp_path: Path) -> None:
    layouts.save(np.zeros((1, 4, 3), np.uint8), tmp_path / "images/a.png")
    layouts.save(np.array([[0, 1, 2, 255]], np.uint8), tmp_path / "masks/a.png")
    folder = open_segmentation(tmp_path)
    assert folder.reading.classes.names == ("class 0", "class 1", "class 2")
    named = open_segmentation(tmp_path, default_names=("a", "b", "c"))
    assert named.reading.classes.names == ("a", "b", "c")


def test_numbers_of_16_bits_are_not_cut(tmp_path: Path) -> None:
    layouts.save(np.zeros((1, 2, 3), np.uint8), tmp_path / "images/a.png")
    path = tmp_path / "masks/a.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.array([[1, 258]], np.uint16))
    with pytest.raises(ValueError, match="got the numbers 1, 258"):
        open_segmentation(tmp_path)


def test_true_camvid_and_ade20k_are_read_as_before(shared: Path) -> None:
    camvid = open_segmentation(shared / "data/camvid_mini")
    assert camvid.reading.reduce_zero_label is True
    assert len(camvid.reading.classes.names) == 11
    ade20k = open_segmentation(shared / "data/ade_mini")
    assert ade20k.reading.reduce_zero_label is True
    assert len(ade20k.reading.classes.names) == 150
