"""Tests of the PNGs whose colours are ids."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets.formats.panoptic.segment_pngs import (
    MAX_SEGMENT_ID,
    encode_segment_ids,
    read_png_size,
    read_segment_ids,
)


def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255], [256, 65_536, MAX_SEGMENT_ID]])
    (tmp_path / "a.png").write_bytes(encode_segment_ids(ids))
    assert read_segment_ids(tmp_path / "a.png").tolist() == ids.tolist()
    assert read_png_size(tmp_path / "a.png") == (2, 3)


def test_a_colour_is_red_plus_256_green_plus_65536_blue(tmp_path: Path) -> None:
    Image.new("RGB", (2, 1), (3, 2, 1)).save(tmp_path / "a.png")
    assert read_segment_ids(tmp_path / "a.png").tolist() == [[3 + 512 + 65_536] * 2]


@pytest.mark.parametrize("ids", [[[-1]], [[2**24]]])
def test_ids_beyond_24_bits_are_refused(ids: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"ids of segments must be in 0\.\.16777215, got"):
        encode_segment_ids(np.array(ids))


def test_files_that_are_no_pngs_of_segments_are_named(tmp_path: Path) -> None:
    Image.new("L", (2, 1)).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match=r"red, green and blue .* got an L image in .*grey\.png"):
        read_segment_ids(tmp_path / "grey.png")
    (tmp_path / "cut.png").write_bytes(encode_segment_ids(np.arange(600).reshape(20, 30))[:90])
    with pytest.raises(ValueError, match=r"cut\.png cannot be read"):
        read_segment_ids(tmp_path / "cut.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.png must be a PNG"):
        read_png_size(tmp_path / "text.png")
