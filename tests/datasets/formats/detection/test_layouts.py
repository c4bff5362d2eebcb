"""Every layout against the COCO files that it was made from."""

from pathlib import Path

import numpy as np
import pytest
from detection_layouts import LAYOUTS

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.masks import decompress, rasterise_polygons
from swin_dense.datasets.shapes import write_shapes


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "coco"
    return write_shapes(root, num_train=6, num_val=4, size=64, seed=3)


def objects_of(coco: CocoFile) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """Place of the image, class name, box and bitmap of every object."""
    names = {category.id: category.name for category in coco.categories}
    places = {image.id: place for place, image in enumerate(coco.images)}
    found = []
    for entry in coco.annotations:
        place = places[entry.image_id]
        outlines = rasterise_polygons([entry.polygons], coco.images[place].size)[0]
        bitmap = decompress([entry.run_lengths or outlines])[0]
        found.append((place, names[entry.category_id], np.array(entry.box), bitmap))
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_read_as_the_coco_file_that_it_was_made_from(
    name: str, coco: Path, tmp_path: Path
) -> None:
    folder = open_detection_folder(LAYOUTS[name](coco, tmp_path / name))
    assert folder.key == name
    read, images = folder.read(folder.splits[0])
    expected, _ = open_detection_folder(coco).read("train2017")
    assert [image.size for image in read.images] == [image.size for image in expected.images]
    assert all((images / image.file_name).is_file() for image in read.images)
    ours = objects_of(read)
    assert len(ours) == len(expected.annotations)
    # YOLO and LabelMe have the outline's extent for a box, COCO that of the bitmap: tips that are
    # thinner than a pixel are in the former alone.
    tolerance = 3 if name in ("yolo", "labelme") else 1e-9
    for place, label, box, bitmap in objects_of(expected):
        same = [entry for entry in ours if entry[:2] == (place, label)]
        _, _, found_box, found = min(same, key=lambda entry: float(abs(entry[2] - box).sum()))
        assert found_box == pytest.approx(box, abs=tolerance)
        if found.any() or name != "yolo":  # YOLO has no masks with holes or of several parts
            assert (found ^ bitmap).sum() <= (2 if name == "yolo" else 0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_categories_are_in_the_files_order_without_those_that_are_not_used(
    name: str, coco: Path, tmp_path: Path
) -> None:
    folder = open_detection_folder(LAYOUTS[name](coco, tmp_path / name))
    read, _ = folder.read(folder.splits[0])
    expected, _ = open_detection_folder(coco).read("train2017")
    names = [category.name for category in expected.categories]
    found = [category.name for category in read.categories]
    assert found == (sorted(names) if name == "labelme" else names)
    ids = [category.id for category in read.categories]
    first = 0 if name == "label_studio" else 1
    assert ids == list(range(first, first + len(names)))
    assert any("('shapes')" in note for note in read.notes) == (name == "roboflow")


def test_the_images_of_a_split_are_its_own(coco: Path, tmp_path: Path) -> None:
    folder = open_detection_folder(LAYOUTS["roboflow"](coco, tmp_path / "roboflow"))
    assert folder.splits == ("train", "valid")
    assert [len(folder.read(split)[0].images) for split in folder.splits] == [6, 4]
    with pytest.raises(FileNotFoundError, match=r"no split 'test' in .*; splits there: train, val"):
        folder.read("test")
