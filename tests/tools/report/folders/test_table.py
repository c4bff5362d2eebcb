"""Folders of data as `inspect` and `convert` see them: every task's layouts in one root."""

from pathlib import Path

import numpy as np
import pytest

import swin_dense as sd
from swin_dense.datasets.formats.segmentation.table import open_segmentation
from swin_dense.datasets.shapes import write_shapes
from swin_dense.tools.report.folders.table import FOLDER_KINDS, find_folder_kinds


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(folder, num_train=5, num_val=3, size=64, seed=0)
    return folder


def test_a_root_may_hold_data_of_every_task(shapes: Path) -> None:
    assert find_folder_kinds(shapes, None) == [
        FOLDER_KINDS[task] for task in ("detection", "segmentation", "panoptic")
    ]
    assert find_folder_kinds(shapes, "coco") == [FOLDER_KINDS["detection"]]
    assert find_folder_kinds(shapes, "ade20k") == [FOLDER_KINDS["segmentation"]]
    assert find_folder_kinds(shapes, "coco_panoptic") == [FOLDER_KINDS["panoptic"]]
    facts = {entry["task"]: entry for entry in sd.tools.inspect(shapes)["data"]}
    assert facts["detection"]["layout"] == "coco"
    segmentation = facts["segmentation"]
    assert segmentation["layout"] == "ade20k"
    assert segmentation["splits"]["training"]["images"] == 5
    assert segmentation["splits"]["validation"]["classes"]["ground"] == 3  # images


def test_label_maps_are_drawn_on_the_page_of_a_folder(shapes: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    sd.tools.inspect(shapes, format="ade20k", html=page)
    text = page.read_text()
    assert "ADE20K layout for segmentation" in text
    assert text.count("<img") >= 5


@pytest.mark.parametrize("val_fraction", [None, 0.4])
def test_segmentation_data_are_written_as_ade20k_is(
    shapes: Path, tmp_path: Path, val_fraction: float | None
) -> None:
    source = tmp_path / "pairs"
    (source / "images").mkdir(parents=True)
    (source / "masks").mkdir()
    splits = ("training", "validation") if val_fraction is None else ("training",)
    for split in splits:
        for kind, name in (("images", "images"), ("annotations", "masks")):
            folder = source / name / (split if val_fraction is None else "")
            folder.mkdir(exist_ok=True)
            for file in (shapes / kind / split).iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
    (source / "classes.txt").write_bytes((shapes / "classes.txt").read_bytes())
    out = tmp_path / "written"
    sd.tools.convert(source, out, to="ade20k", val_fraction=val_fraction)
    before = open_segmentation(shapes)
    after = open_segmentation(out)
    assert after.layout == "ADE20K"
    assert set(after.splits) == {"training", "validation"}
    assert after.reading.classes.names == before.reading.classes.names
    originals = {
        pair.image.read_bytes(): pair for files in before.splits.values() for pair in files.images
    }
    written = [pair for files in after.splits.values() for pair in files.images]
    assert len(written) == (8 if val_fraction is None else 5)
    for pair in written:
        original = originals[pair.image.read_bytes()]
        assert pair.id == original.id
        np.testing.assert_array_equal(
            after.reading.encoding.read(pair.label_map),
            before.reading.encoding.read(original.label_map),
        )


def test_a_folder_without_data_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match=r"data for detection or segmentation or panoptic .*notes"):
        find_folder_kinds(tmp_path, None)
    with pytest.raises(FileNotFoundError, match="no data folder"):
        find_folder_kinds(tmp_path / "gone", None)
