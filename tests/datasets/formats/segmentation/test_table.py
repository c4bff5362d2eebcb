"""Every layout of segmentation data, drawn: recognised, and read as ADE20K's form of it is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import segmentation_layouts as layouts
from segmentation_layouts import NAMES

from swin_dense.datasets.formats.segmentation.ade20k import Ade20k
from swin_dense.datasets.formats.segmentation.ade20k_writer import write_ade20k
from swin_dense.datasets.formats.segmentation.cityscapes import CITYSCAPES_CLASSES
from swin_dense.datasets.formats.segmentation.pascal_voc import VOC_NAMES
from swin_dense.datasets.formats.segmentation.table import open_segmentation
from swin_dense.datasets.transforms.pipeline import Pipeline

CITYSCAPES_NAMES = tuple(name for _, name, _ in CITYSCAPES_CLASSES)
LAYOUTS: dict[str, tuple[Callable[[Path, Path], Path], str, tuple[str, ...]]] = {
    "voc": (layouts.write_voc, "Pascal VOC", VOC_NAMES),
    "train_ids": (
        partial(layouts.write_cityscapes, kind="labelTrainIds"),
        "Cityscapes",
        CITYSCAPES_NAMES,
    ),
    "ids": (partial(layouts.write_cityscapes, kind="labelIds"), "Cityscapes", CITYSCAPES_NAMES),
    "folders": (layouts.write_two_folders, "images and label maps", NAMES),
    "colours": (
        partial(layouts.write_two_folders, colours=True),
        "images and label maps",
        NAMES,
    ),
    "palettes": (layouts.write_palettes, "ADE20K", NAMES),
    "plain": (layouts.write_plain_ade20k, "ADE20K", NAMES),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.draw_source(tmp_path_factory.mktemp("source") / "shapes")


def open_split(root: Path, split: str, **options) -> Ade20k:
    return Ade20k(root, split, transforms=Pipeline([]), **options)


def label_maps(dataset: Ade20k) -> dict[str, np.ndarray]:
    """By the name of the image in the source."""
    return {
        dataset.image_ids[index].rpartition("_")[2]: dataset.load_label_map(index)
        for index in range(len(dataset))
    }


@pytest.mark.parametrize("split", ["training", "validation"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_read_as_ade20k_is(
    layout: str, split: str, source: Path, tmp_path: Path
) -> None:
    write, name, classes = LAYOUTS[layout]
    root = write(source, tmp_path / "data")
    dataset, expected = open_split(root, split), open_split(source, split)
    assert f": {name} layout, 6 images (train" in dataset.description
    assert dataset.class_names == classes
    found, wanted = label_maps(dataset), label_maps(expected)
    assert found.keys() == wanted.keys()
    for image_id, labels in wanted.items():
        np.testing.assert_array_equal(found[image_id], labels)
    assert dataset[0]["label_map"].max() == 255


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_written_in_ade20k_s_form_and_read_back(
    layout: str, source: Path, tmp_path: Path
) -> None:
    root = LAYOUTS[layout][0](source, tmp_path / "data")
    out = write_ade20k(open_segmentation(root), tmp_path / "out")
    assert {path.name for path in (out / "images").iterdir()} == {"training", "validation"}
    assert (out / "classes.txt").read_text().splitlines() == list(LAYOUTS[layout][2])
    stored = cv2.imread(str(next((out / "annotations").rglob("*.png"))), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == 2
    assert stored[20, 20] >= 1
    assert stored.min() == 0
    for split in layouts.SPLITS:
        dataset, before = open_split(out, split), open_split(root, split)
        assert dataset.class_names == before.class_names
        found, wanted = label_maps(dataset), label_maps(before)
        assert found.keys() == wanted.keys()
        assert all((found[image_id] == wanted[image_id]).all() for image_id in wanted)


def test_a_folder_that_is_not_empty_is_not_written_into(source: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ValueError, match="into a new or empty folder"):
        write_ade20k(open_segmentation(source), tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_images_beside_their_masks_are_divided_by_a_fraction(source: Path, tmp_path: Path) -> None:
    root = layouts.write_suffixes(source, tmp_path / "data")
    with pytest.raises(FileNotFoundError, match=r"there are: all \(6\); .*--data.val-fraction"):
        open_split(root, "validation", reduce_zero_label=False)
    parts = [open_split(root, split, val_fraction=0.3) for split in layouts.SPLITS]
    ids = [set(part.image_ids) for part in parts]
    assert len(ids[0] | ids[1]) == 6
    assert not ids[0] & ids[1]
    assert parts[1].kept_images == tuple(parts[1].image_ids) != ()
    again = open_split(root, "val", val_fraction=0.3)
    assert again.image_ids == parts[1].image_ids
    names = tmp_path / "kept.txt"
    names.write_text("\n".join(f"{name}.jpg" for name in parts[1].image_ids))
    assert open_split(root, "val", val_list=names).image_ids == parts[1].image_ids
    for part in parts:
        for index, image_id in enumerate(part.image_ids):
            split, _, original = image_id.partition("_")
            whole = open_split(source, split)
            labels = whole.load_label_map(whole.image_ids.index(original))
            np.testing.assert_array_equal(part.load_label_map(index), labels)


def test_a_fraction_of_data_with_a_validation_split_is_refused(source: Path) -> None:
    with pytest.raises(ValueError, match="without a validation split, got validation"):
        open_split(source, "validation", val_fraction=0.1)


def test_masks_of_0_and_255_are_background_and_one_class(source: Path, tmp_path: Path) -> None:
    root = layouts.write_masks(source, tmp_path / "data")
    dataset = open_split(root, "all")
    assert dataset.class_names == ("background", "foreground")
    assert set(np.unique(dataset.load_label_map(0))) == {0, 1}
    (root / "classes.txt").write_text("shape\n")
    assert open_split(root, "all").class_names == ("background", "shape")
    (root / "classes.txt").write_text("ground\nshape\n")
    assert open_split(root, "all").class_names == ("ground", "shape")


def test_classes_are_counted_over_all_label_maps_or_a_part_that_is_said(source: Path) -> None:
    folder = open_segmentation(source)
    counts = folder.count_classes("training")
    maps = [open_split(source, "training").load_label_map(index) for index in range(4)]
    expected = sum(np.bincount(labels.ravel(), minlength=256) for labels in maps)
    assert counts.pixels.tolist() == expected[:7].tolist()
    assert counts.ignored == expected[255]
    assert counts.images.tolist() == [sum((m == label).any() for m in maps) for label in range(7)]
    assert counts.words == "all 4 label maps"
    assert folder.count_classes("training", most=2).words == "2 of 4 label maps, evenly spread"


def test_a_root_with_two_layouts_is_refused_in_one_line(source: Path, tmp_path: Path) -> None:
    root = layouts.write_cityscapes(source, tmp_path / "data", kind="labelIds")
    layouts.write_plain_ade20k(source, root)
    with pytest.raises(ValueError, match=r"one layout, got ADE20K .* and Cityscapes") as raised:
        open_segmentation(root)
    assert "\n" not in str(raised.value)


def test_a_root_in_no_layout_is_refused_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"found: annotations/, train2017/$"):
        open_segmentation(tmp_path)


def test_training_ids_under_the_name_of_ids_are_refused(source: Path, tmp_path: Path) -> None:
    root = layouts.write_cityscapes(source, tmp_path / "data", kind="labelTrainIds")
    for path in list(root.rglob("*_labelTrainIds.png")):
        path.rename(path.with_name(path.name.replace("labelTrainIds", "labelIds")))
    with pytest.raises(ValueError, match=r"must be ids of 0\.\.33, got training ids"):
        open_segmentation(root)


def test_a_listed_image_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    root = layouts.write_voc(source, tmp_path / "data")
    listing = next(root.rglob("train.txt"))
    listing.write_text(listing.read_text() + "missing\n")
    with pytest.raises(ValueError, match="missing has no image in JPEGImages"):
        open_split(root, "train")
    assert len(open_split(root, "val")) == 2  # another split is not held up


def test_names_and_colours_of_cvats_label_map_are_read(source: Path, tmp_path: Path) -> None:
    root = layouts.write_voc(source, tmp_path / "data")
    place = next(root.rglob("JPEGImages")).parent
    lines = [
        f"{name}:{r},{g},{b}::"
        for name, (r, g, b) in zip(NAMES, layouts.COLOURS.tolist(), strict=True)
    ]
    (place / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines))
    for path in sorted((place / "SegmentationClass").glob("*.png")):
        split, _, image_id = path.stem.partition("_")
        dataset = open_split(source, split)
        labels = dataset.load_label_map(dataset.image_ids.index(image_id))
        layouts.save(layouts.paint(labels), path)
    dataset = open_split(root, "val")
    assert dataset.class_names == NAMES
    np.testing.assert_array_equal(
        dataset.load_label_map(0), open_split(source, "validation").load_label_map(0)
    )


def test_cvats_palettes_go_before_the_order_of_their_indices(source: Path, tmp_path: Path) -> None:
    root = layouts.write_palettes(source, tmp_path / "data")
    place = tmp_path / "cvat"
    place.mkdir()
    (root / "images" / "training").rename(place / "JPEGImages")
    (root / "annotations" / "training").rename(place / "SegmentationClass")
    rows = zip(NAMES, layouts.COLOURS.tolist(), strict=True)
    lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in rows]
    (place / "labelmap.txt").write_text("\n".join(lines))
    dataset = open_split(place, "all")
    found, wanted = label_maps(dataset), label_maps(open_split(source, "training"))
    assert found.keys() == wanted.keys()
    assert all((found[image_id] == wanted[image_id]).all() for image_id in wanted)


def test_same_names_in_two_folders_are_two_images(tmp_path: Path) -> None:
    for city, number in (("bonn", 1), ("ulm", 2)):
        for folder, array in (
            ("images", np.zeros((4, 4, 3), np.uint8)),
            ("masks", np.full((4, 4), number, np.uint8)),
        ):
            layouts.save(array, tmp_path / folder / city / "1.png")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    dataset = open_split(tmp_path, "all")
    assert dataset.image_ids == ["bonn/1", "ulm/1"]
    assert [int(dataset.load_label_map(index)[0, 0]) for index in (0, 1)] == [0, 1]


def test_two_folders_of_label_maps_are_refused(source: Path, tmp_path: Path) -> None:
    root = layouts.write_two_folders(source, tmp_path / "data")
    (root / "labels").symlink_to(root / "masks")
    with pytest.raises(ValueError, match="one folder of label maps, got labels, masks"):
        open_segmentation(root)
