"""Tiles cover the image; of what several of them found, each object stays once."""

import pytest
import torch

from swin_dense.heads.detection.boxes.tiles import (
    Tile,
    cut_tiles,
    merge_detections,
    touches_inner_edge,
)


@pytest.mark.parametrize("size", [(90, 130), (100, 100), (101, 400), (64, 1000), (257, 333)])
def test_tiles_cover_the_image_and_share_the_overlap(size: tuple[int, int]) -> None:
    tiles = cut_tiles(size, side=100, overlap=30)
    covered = torch.zeros(size, dtype=torch.bool)
    for tile in tiles:
        covered[tile.top : tile.bottom, tile.left : tile.right] = True
        assert tile.right - tile.left == min(100, size[1])
        assert tile.bottom - tile.top == min(100, size[0])
        assert 0 <= tile.left <= tile.right <= size[1]
        assert 0 <= tile.top <= tile.bottom <= size[0]
    assert covered.all()
    for low, high in (("left", "right"), ("top", "bottom")):
        starts = sorted({getattr(tile, low) for tile in tiles})
        ends = sorted({getattr(tile, high) for tile in tiles})
        assert all(end - start >= 30 for end, start in zip(ends[:-1], starts[1:], strict=True))


def test_there_are_no_more_tiles_than_needed() -> None:
    assert cut_tiles((100, 170), side=100, overlap=30) == [
        Tile(0, 0, 100, 100),
        Tile(70, 0, 170, 100),
    ]
    assert len(cut_tiles((100, 171), side=100, overlap=30)) == 3
    assert cut_tiles((40, 60), side=100, overlap=30) == [Tile(0, 0, 60, 40)]


def test_an_overlap_that_leaves_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"overlap must be in 0\.\.side - 1, got 100"):
        cut_tiles((100, 170), side=100, overlap=100)


def test_only_edges_inside_the_image_cut_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 20, 20], [50, 0, 99, 20], [50, 60, 80, 100], [5, 5, 90, 90]])
    corner = touches_inner_edge(boxes, Tile(0, 0, 100, 100), (200, 100), margin=2)
    assert corner.tolist() == [False, False, True, False]
    middle = touches_inner_edge(boxes, Tile(0, 0, 100, 100), (200, 200), margin=2)
    assert middle.tolist() == [False, True, True, False]
    later = touches_inner_edge(boxes + 100, Tile(100, 100, 200, 200), (200, 200), margin=2)
    assert later.tolist() == [True, True, False, False]


def merge(*detections: tuple[list[float], float, int, bool]) -> list[int]:
    boxes, scores, labels, cut = zip(*detections, strict=True)
    return merge_detections(
        torch.tensor(boxes),
        torch.tensor(scores),
        torch.tensor(labels),
        torch.tensor(cut),
        nms_iou=0.5,
    ).tolist()


def test_a_cut_detection_gives_way_to_a_whole_one_of_its_class_whatever_its_score() -> None:
    cut, whole = ([80.0, 0, 100, 40], 0.9, 1, True), ([80.0, 0, 120, 40], 0.6, 1, False)
    assert merge(cut, whole) == [1]
    assert merge(cut, ([80.0, 0, 120, 40], 0.6, 0, False)) == [0, 1]  # of another class


def test_a_cut_detection_that_nothing_covers_stays_once() -> None:
    left, right = ([0.0, 0, 100, 40], 0.6, 0, True), ([30.0, 0, 140, 40], 0.7, 0, True)
    apart = ([300.0, 0, 400, 40], 0.5, 0, True)
    assert merge(left, right, apart) == [1, 2]


def test_whole_detections_suppress_each_other_as_in_one_image() -> None:
    first, again = ([0.0, 0, 10, 10], 0.5, 0, False), ([0.0, 0, 10, 9], 0.8, 0, False)
    inside = ([2.0, 2, 4, 4], 0.9, 0, False)  # an object in front of another
    assert merge(first, again, inside) == [2, 1]


def test_nothing_found_stays_nothing() -> None:
    none = torch.zeros(0)
    kept = merge_detections(none.reshape(0, 4), none, none.long(), none.bool(), nms_iou=0.5)
    assert kept.tolist() == []
