"""Panoptic data written as COCO is published."""

import json
from pathlib import Path

import pytest
from panoptic_writer import panoptic_content, write_panoptic

from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.formats.panoptic.panoptic_writer import write_coco_panoptic
from swin_dense.datasets.transforms.pipeline import Pipeline


def test_what_is_written_is_what_was_read(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "data", panoptic_content())
    dataset = CocoPanoptic(tmp_path / "data", "val2017", transforms=Pipeline([]))
    out = tmp_path / "out"
    write_coco_panoptic(out, {"val2017": dataset})
    content = json.loads((out / "annotations/panoptic_val2017.json").read_text())
    before = panoptic_content()
    assert content["images"] == before["images"]
    assert sorted(content["categories"], key=lambda c: -c["id"]) == before["categories"]
    by_image = {entry["image_id"]: entry for entry in content["annotations"]}
    for entry in before["annotations"]:
        assert by_image[entry["image_id"]] == entry
    with pytest.raises(ValueError, match="new or empty folder"):
        write_coco_panoptic(out, {"val2017": dataset})


def test_names_that_lead_out_of_their_folder_are_refused(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "data", panoptic_content())
    dataset = CocoPanoptic(tmp_path / "data", "val2017", transforms=Pipeline([]))
    dataset.png_names[0] = "../five.png"
    with pytest.raises(
        ValueError, match=r"must stay in their folder, got \.\./five\.png of image 5"
    ):
        write_coco_panoptic(tmp_path / "out", {"val2017": dataset})
    assert not (tmp_path / "out").exists()
