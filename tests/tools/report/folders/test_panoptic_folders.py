"""Folders of panoptic data as `inspect` and `convert` see them."""

from pathlib import Path

import numpy as np
import pytest
from panoptic_writer import panoptic_content, panoptic_ids, write_panoptic

import swin_dense as sd
from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.tools.report.folders.table import FOLDER_KINDS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_panoptic(tmp_path / "data", panoptic_content(), split="train2017")
    return tmp_path / "data"


def test_panoptic_data_are_described_and_drawn(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    (facts,) = sd.tools.inspect(root, html=page)["data"]
    assert (facts["task"], facts["layout"]) == ("panoptic", "coco_panoptic")
    assert facts["splits"] == {
        "train2017": {"images": 2, "annotations": 6, "classes": {"sky": 2, "person": 4}}
    }
    assert facts["notes"] == ["stuff: sky"]
    assert page.read_text().count("<img") == 2


def test_panoptic_data_are_written_as_cocos_and_divided(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sd.tools.convert(root, out, to="coco_panoptic", val_fraction=0.5)
    parts = {
        split: CocoPanoptic(out, split, transforms=Pipeline([]))
        for split in ("train2017", "val2017")
    }
    names = sorted(part.file_names[0] for part in parts.values())
    assert names == ["five.jpg", "nine.jpg"]
    for part in parts.values():
        ids, segments = part.load_segments(0)
        assert np.array_equal(ids, panoptic_ids())
        assert [segment.is_crowd for segment in segments] == [False, True, False]
        assert part.colours is not None
        assert part.colours.tolist() == [[70, 130, 180], [220, 20, 60]]


def test_a_folder_without_panoptic_annotations_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must have annotations/panoptic_SPLIT\.json or"):
        FOLDER_KINDS["panoptic"].describe(tmp_path, "coco_panoptic")
