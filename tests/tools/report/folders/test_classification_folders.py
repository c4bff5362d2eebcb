"""Folders of classes as `inspect` and `convert` see them."""

from pathlib import Path

import pytest

import swin_dense as sd
from swin_dense.datasets.drawn.shape_classes import write_shape_classes
from swin_dense.tools.report.folders.table import FOLDER_KINDS, find_folder_kinds


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "classes"
    return write_shape_classes(folder, num_train=20, num_val=10, size=32)


def test_splits_and_classes_are_counted(shapes: Path, tmp_path: Path) -> None:
    assert find_folder_kinds(shapes, None) == [FOLDER_KINDS["classification"]]
    page = tmp_path / "page.html"
    (facts,) = sd.tools.inspect(shapes, html=page)["data"]
    assert (facts["task"], facts["layout"]) == ("classification", "image_folder")
    assert len(facts["class_names"]) == 10
    assert facts["splits"]["train"]["classes"]["heart"] == 2
    assert facts["splits"]["val"]["images"] == 10
    assert page.read_text().count("<img") == 12


def test_other_layouts_come_first(tmp_path: Path) -> None:
    from swin_dense.datasets.shapes import write_shapes

    data = write_shapes(tmp_path / "data", num_train=1, num_val=1, size=32)
    assert FOLDER_KINDS["classification"] not in find_folder_kinds(data, None)


def test_faults_are_told_by_inspect(shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"empty files: 1 \(cat/a\.jpg\)"):
        sd.tools.inspect(tmp_path)


def test_a_part_of_each_class_is_written_as_validation_split(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sd.tools.convert(shapes / "train", out, to="image_folder", val_fraction=0.5)
    for split in ("train", "val"):
        for name in ("heart", "ring"):
            (image,) = (out / split / name).iterdir()
            assert image.read_bytes() == (shapes / "train" / name / image.name).read_bytes()
    with pytest.raises(ValueError, match="OUT must be a new or empty folder"):
        sd.tools.convert(shapes, out, to="image_folder")
