"""Every layout against the COCO files that it was made from."""

from pathlib import Path

import numpy as np
import pytest
from detection_layouts import LAYOUTS

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.formats.table import DETECTION_FORMATS
from swin_dense.datasets.shapes import write_shapes

TRAINED = [name for name in LAYOUTS if DETECTION_FORMATS[name].is_trained_on]


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "coco"
    return write_shapes(root, num_train=6, num_val=4, size=64, seed=3)


def objects(coco: CocoFile) -> list[tuple[int, str, CocoAnnotation]]:
    """Image number, class name and object, in an order that no format changes."""
    numbers = {
        image.id: int("".join(filter(str.isdigit, Path(image.file_name).name[-10:-4])) or 0)
        for image in coco.images
    }
    names = {category.id: category.name for category in coco.categories}
    found = [
        (numbers[entry.image_id], names[entry.category_id], entry) for entry in coco.annotations
    ]
    return sorted(found, key=lambda entry: (*entry[:2], entry[2].box))


def split_for(name: str, splits: tuple[str, ...]) -> str:
    return "train" if "train" in splits else splits[0]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_read_as_its_coco_file(
    name: str, coco: Path, tmp_path: Path
) -> None:
    folder = open_detection_folder(LAYOUTS[name](coco, tmp_path / name))
    assert folder.key == name
    read, images = folder.read(split_for(name, folder.splits))
    expected, _ = open_detection_folder(coco).read("train2017")
    assert len(read.images) == len(expected.images)
    assert all((images / image.file_name).is_file() for image in read.images)
    names = [category.name for category in read.categories]
    used = {entry[1] for entry in objects(expected)}
    assert used <= set(names)
    if name not in ("labelme",):
        assert [c.name for c in expected.categories if c.name in names] == names
    pairs = list(
        zip(
            sorted(read.images, key=lambda i: i.file_name[-10:]),
            sorted(expected.images, key=lambda i: i.file_name),
            strict=True,
        )
    )
    for ours, theirs in pairs:
        assert ours.size == theirs.size
        boxes = {
            which: sorted(
                (names_of[entry.category_id], *np.round(entry.box, 3))
                for entry in content.annotations
                if entry.image_id == image.id
            )
            for which, content, image, names_of in (
                ("ours", read, ours, {c.id: c.name for c in read.categories}),
                ("theirs", expected, theirs, {c.id: c.name for c in expected.categories}),
            )
        }
        assert [entry[0] for entry in boxes["ours"]] == [entry[0] for entry in boxes["theirs"]]
        tolerance = 1.0 if name in ("yolo", "labelme") else 0  # extents of polygons, not of bitmaps
        for one, other in zip(boxes["ours"], boxes["theirs"], strict=True):
            assert one[1:] == pytest.approx(other[1:], abs=tolerance)
