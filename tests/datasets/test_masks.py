"""Tests of masks as polygons, run lengths and bitmaps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from swin_dense.datasets.masks import (
    bitmaps_from_runs,
    compress_bitmaps,
    compress_counts,
    compress_masks,
    crop_mask,
    decompress,
    decompress_counts,
    empty_mask,
    mask_area,
    move_mask,
    rasterise_polygons,
    run_lengths,
)


def _square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def test_runs_go_down_the_columns_and_start_outside() -> None:
    counts = torch.tensor([2, 1, 3], dtype=torch.int32)
    bitmaps = bitmaps_from_runs(counts, torch.tensor([3]), (3, 2))
    assert bitmaps.dtype == torch.bool
    assert bitmaps.tolist() == [[[False, False], [False, False], [True, False]]]


def test_each_object_counts_its_own_runs() -> None:
    # One run only, then one that starts inside, then an even number of runs.
    counts = torch.tensor([4, 0, 4, 1, 3], dtype=torch.int32)
    bitmaps = bitmaps_from_runs(counts, torch.tensor([1, 2, 2]), (2, 2))
    assert bitmaps.sum((1, 2)).tolist() == [0, 4, 3]
    assert not bitmaps[2, 0, 0]


def test_no_objects_have_no_bitmaps() -> None:
    counts, num_runs = run_lengths([])
    assert (counts.dtype, num_runs.dtype) == (torch.int32, torch.int64)
    assert bitmaps_from_runs(counts, num_runs, (5, 7)).shape == (0, 5, 7)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    num_objects=st.integers(0, 4),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    share=st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
)
def test_bitmaps_survive_compression(
    seed: int, num_objects: int, height: int, width: int, share: float
) -> None:
    bitmaps = np.random.default_rng(seed).random((num_objects, height, width)) < share
    masks = compress_bitmaps(bitmaps)
    counts, num_runs = run_lengths(masks)
    assert counts.sum() == num_objects * height * width
    assert (bitmaps_from_runs(counts, num_runs, (height, width)).numpy() == bitmaps).all()
    assert [mask_area(mask) for mask in masks] == bitmaps.sum((1, 2)).tolist()
    for mask in masks:
        again = compress_counts(decompress_counts(mask["counts"]), (height, width))
        assert again == mask


def test_long_runs_decompress() -> None:
    mask = empty_mask((9000, 12000))
    assert decompress_counts(mask["counts"]).tolist() == [9000 * 12000]


def test_an_empty_string_decompresses_to_no_runs() -> None:
    assert decompress_counts(b"").tolist() == []


@pytest.mark.parametrize("compressed", [b"\x00\x01", b"0 0", b"oooooooooo0", b"PPPP", b"\xff"])
def test_damaged_run_lengths_are_refused(compressed: bytes) -> None:
    with pytest.raises(ValueError, match="compressed run length"):
        decompress_counts(compressed)


def test_a_polygon_covers_the_pixels_inside_it() -> None:
    mask = rasterise_polygons([[_square(2, 3, 4)]], (10, 12))[0]
    expected = np.zeros((10, 12), np.uint8)
    expected[3:7, 2:6] = 1
    assert (decompress([mask])[0] == expected).all()


def test_an_object_is_the_union_of_its_parts() -> None:
    objects = [[_square(0, 0, 4), _square(2, 2, 4)], [], [_square(6, 6, 2)]]
    bitmaps = decompress(rasterise_polygons(objects, (8, 8)))
    assert bitmaps.sum((1, 2)).tolist() == [16 + 16 - 4, 0, 4]


def test_parts_outside_the_image_are_cut_off() -> None:
    bitmaps = decompress(rasterise_polygons([[_square(-3, -2, 5)], [_square(50, 1, 3)]], (8, 8)))
    assert bitmaps[0].sum() == 2 * 3
    assert bitmaps[0, :3, :2].all()
    assert bitmaps[1].sum() == 0


def test_objects_without_parts_are_empty() -> None:
    assert [mask_area(mask) for mask in rasterise_polygons([[], []], (4, 5))] == [0, 0]
    assert rasterise_polygons([], (4, 5)) == []


def test_masks_are_what_pycocotools_takes() -> None:
    mask = rasterise_polygons([[_square(1, 1, 3)]], (6, 6))[0]
    assert coco_mask.toBbox(mask).tolist() == [1, 1, 3, 3]


def _soft_bitmaps() -> np.ndarray:
    """Random, all, nothing, and from the top to the foot of some columns."""
    bitmaps = np.random.default_rng(0).random((4, 7, 9)) < 0.4
    bitmaps[1], bitmaps[2], bitmaps[3] = True, False, False
    bitmaps[3, :, 2:5] = True
    return bitmaps


def test_masks_of_any_form_are_compressed_alike() -> None:
    bitmaps = _soft_bitmaps()
    compressed = compress_bitmaps(bitmaps)
    runs = [
        {"size": [7, 9], "counts": decompress_counts(mask["counts"]).tolist()}
        for mask in compressed
    ]
    assert compress_masks(runs) == compressed
    assert compress_masks(torch.from_numpy(bitmaps)) == compressed
    assert compress_masks(compressed) == compressed
    assert compress_masks([]) == compress_masks(torch.zeros(0, 7, 9)) == []


def test_a_crop_is_the_smallest_part_with_all_pixels() -> None:
    for bitmap, mask in zip(_soft_bitmaps(), compress_bitmaps(_soft_bitmaps()), strict=True):
        left, top, crop = crop_mask(mask)
        rows, columns = np.nonzero(bitmap)
        if not len(rows):
            assert crop.shape == (0, 0)
            continue
        assert (left, top) == (columns.min(), rows.min())
        assert (crop == bitmap[top : rows.max() + 1, left : columns.max() + 1]).all()


@pytest.mark.parametrize(
    ("size", "left", "top"), [((7, 9), 0, 0), ((12, 9), 0, 5), ((7, 20), 3, 0), ((20, 30), 21, 13)]
)
def test_a_moved_mask_is_that_of_the_moved_bitmap(
    size: tuple[int, int], left: int, top: int
) -> None:
    for bitmap, mask in zip(_soft_bitmaps(), compress_bitmaps(_soft_bitmaps()), strict=True):
        frame = np.zeros((1, *size), dtype=bool)
        frame[0, top : top + 7, left : left + 9] = bitmap
        assert move_mask(mask, size, left=left, top=top) == compress_bitmaps(frame)[0]


def test_a_mask_is_not_moved_out_of_the_image() -> None:
    with pytest.raises(ValueError, match="must lie in it, got 7 x 9 px at row 0 and column 1"):
        move_mask(empty_mask((7, 9)), (7, 9), left=1, top=0)
