"""Folders of label maps as `inspect` and `convert` see them."""

from pathlib import Path

import pytest
import segmentation_layouts as layouts

from swin_dense.datasets.formats.segmentation.table import open_segmentation
from swin_dense.tools.cli import main


def test_a_folder_of_label_maps_is_inspected_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = layouts.write_voc(layouts.draw_source(tmp_path / "source"), tmp_path / "data")
    page = tmp_path / "page.html"
    assert main(["inspect", str(root), "--html", str(page)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Pascal VOC layout for segmentation, images: train 4, val 2; 21 classes" in printed
    assert "Pascal VOC's names are assumed" in printed
    assert "train: images with each class counted in all 4 label maps" in printed
    assert page.is_file()


def test_a_folder_of_label_maps_is_converted_and_divided(tmp_path: Path) -> None:
    root = layouts.write_masks(layouts.draw_source(tmp_path / "source"), tmp_path / "data")
    out = tmp_path / "out"
    words = ["convert", str(root), str(out), "--to", "ade20k", "--val-fraction", "0.3"]
    assert main(words) == 0
    folder = open_segmentation(out)
    assert sorted(folder.splits) == ["training", "validation"]
    assert sum(len(files.images) for files in folder.splits.values()) == 6
    assert folder.reading.classes.names == ("background", "foreground")
