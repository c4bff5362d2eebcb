"""Tests of label map files, and of the order of the step from class numbers to labels."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets.label_maps import (
    labels_from_numbers,
    read_class_numbers,
    read_image_header,
    read_label_map_header,
)


def convert(numbers, *, reduce_zero_label, num_classes=150):
    array = np.array([numbers])
    labels = labels_from_numbers(
        array, num_classes=num_classes, reduce_zero_label=reduce_zero_label, where="a.png"
    )
    return labels[0].tolist()


def test_zero_becomes_ignored_before_the_others_move_down():
    assert convert([0, 1, 2, 150, 255], reduce_zero_label=True) == [255, 0, 1, 149, 255]


def test_without_reduce_zero_label_numbers_are_labels():
    assert convert([0, 1, 149, 255], reduce_zero_label=False) == [0, 1, 149, 255]


def test_254_classes_and_255_keep_apart():
    assert convert([0, 254, 255], reduce_zero_label=True, num_classes=254) == [255, 253, 255]


@pytest.mark.parametrize(
    ("numbers", "reduce_zero_label", "message"),
    [
        ([1, 151, 200], True, r"0 \(ignored\), 1..150 or 255 .*, got \[151, 200\] in a.png"),
        ([150], False, r"must be 0..149 or 255 .*, got \[150\] in a.png"),
        ([-1], True, r"got \[-1\] in a.png"),
        ([256], True, r"got \[256\] in a.png"),
    ],
)
def test_numbers_out_of_range_are_named_with_their_file(numbers, reduce_zero_label, message):
    with pytest.raises(ValueError, match=message):
        convert(numbers, reduce_zero_label=reduce_zero_label)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_of_8_and_16_bits_are_read(dtype, tmp_path):
    array = np.arange(12, dtype=dtype).reshape(3, 4)
    Image.fromarray(array).save(tmp_path / "a.png")
    assert read_class_numbers(tmp_path / "a.png").tolist() == array.tolist()
    assert read_label_map_header(tmp_path / "a.png") == (3, 4)


def test_a_palette_image_gives_its_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 2], [1, 0]], dtype=np.uint8), mode="L").convert("P")
    image.putpalette([9, 9, 9, 100, 0, 0, 0, 200, 0])
    image.save(tmp_path / "a.png")
    assert read_class_numbers(tmp_path / "a.png").tolist() == [[0, 2], [1, 0]]


def test_colours_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    for read in read_class_numbers, read_label_map_header:
        with pytest.raises(ValueError, match=r"one channel of class numbers, got an RGB image in"):
            read(tmp_path / "a.png")


def test_a_cut_off_file_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 150, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    for read in read_class_numbers, read_label_map_header:
        with pytest.raises(ValueError, match=r"a\.png cannot be read as a label map"):
            read(tmp_path / "a.png")


def test_a_damaged_header_that_states_a_giant_image_is_named(tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    head = b"IHDR" + struct.pack(">II", 10**6, 10**6) + content[24:29]
    content = content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    (tmp_path / "a.png").write_bytes(content)
    for read in read_class_numbers, read_label_map_header, read_image_header:
        with pytest.raises(ValueError, match=r"a\.png states 1000000 x 1000000 px"):
            read(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no label map file .*a\.png"):
        read_class_numbers(tmp_path / "a.png")
