"""Tests of objects that move together with their image."""

from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
from recipe_pipelines import recipe_detection_train

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.instances import Instances, InstanceStore, transform_instances
from swin_dense.datasets.masks import (
    CompressedMask,
    compress_bitmaps,
    decompress,
    rasterise_polygons,
)
from swin_dense.datasets.transforms.detection import RandomCropInRange, detection_eval
from swin_dense.datasets.transforms.pipeline import compose, seed_transforms
from swin_dense.datasets.transforms.resizing import KeepRatioResize

SIZE = (40, 60)
BOX = (10.0, 5.0, 30.0, 20.0)


def _corners(box: tuple[float, float, float, float]) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def _instances(*boxes: tuple[float, float, float, float], as_runs: bool = False) -> Instances:
    """Objects whose masks are their boxes."""
    polygons = [[_corners(box)] for box in boxes]
    masks = rasterise_polygons(polygons, SIZE)
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.arange(len(boxes)),
        polygons=[[] for _ in boxes] if as_runs else polygons,
        run_lengths=dict(enumerate(masks)) if as_runs else {},
    )


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def _bounds(mask: CompressedMask) -> tuple[int, int, int, int]:
    """xyxy px around a mask."""
    rows, columns = np.nonzero(decompress([mask])[0])
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("as_runs", [False, True])
def test_flip_resize_and_crop_move_boxes_and_masks_alike(as_runs: bool) -> None:
    instances = _instances(BOX, as_runs=as_runs)
    flip = compose([A.HorizontalFlip(p=1)])
    image, moved, masks = transform_instances(flip, _image(), instances)
    assert (image == _image()[:, ::-1]).all()
    assert moved.boxes.tolist() == [[30, 5, 50, 20]]
    assert _bounds(masks[0]) == (30, 5, 50, 20)

    double = compose([KeepRatioResize([(120, 80)])])
    _, moved, masks = transform_instances(double, _image(), instances)
    assert moved.boxes.tolist() == [[20, 10, 60, 40]]
    assert _bounds(masks[0]) == (20, 10, 60, 40)
    assert masks[0]["size"] == [80, 120]

    crop = compose([A.Crop(12, 0, 52, 16)])
    _, moved, masks = transform_instances(crop, _image(), instances)
    assert moved.boxes.tolist() == [[0, 5, 18, 16]]
    assert _bounds(masks[0]) == (0, 5, 18, 16)


def test_rectangles_stay_aligned_with_their_pixels_through_the_whole_pipeline() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    image[5:20, 10:30] = 255
    transforms = recipe_detection_train(
        long_side=300, short_sides=(90, 150), crop_short_sides=(60, 100), crop_range=(40, 80)
    )
    for key in range(30):
        seed_transforms(transforms, key)
        moved_image, moved, masks = transform_instances(transforms, image, _instances(BOX))
        if not len(masks):
            continue
        bright = moved_image[..., 0] > 127
        mask = decompress(masks)[0]
        # Both are cut off at half a pixel: they may differ by a pixel along the outline.
        assert (bright ^ mask).sum() <= 0.03 * mask.sum() + sum(mask.shape)
        rows, columns = np.nonzero(bright)
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(moved.boxes[0] - around).max() <= 1


def test_boxes_are_cut_to_the_image_and_dropped_without_area() -> None:
    boxes = ((-5.0, -5.0, 10.0, 10.0), (0.0, 0.0, 5.0, 39.0), (50.0, 30.0, 70.0, 50.0))
    crop = compose([A.Crop(5, 0, 60, 40)])
    _, moved, masks = transform_instances(crop, _image(), _instances(*boxes))
    assert moved.boxes.tolist() == [[0, 0, 5, 10], [45, 30, 55, 40]]
    assert moved.labels.tolist() == [0, 2]
    assert [decompress([mask]).sum() for mask in masks] == [50, 100]


def test_a_box_that_remains_may_have_an_empty_mask() -> None:
    triangle = np.array([[0, 0], [30, 0], [0, 30]], np.float32)
    instances = Instances(
        np.array([[0, 0, 30, 30]], np.float32), np.array([4]), [[triangle]], run_lengths={}
    )
    crop = compose([A.Crop(20, 20, 40, 40)])
    _, moved, masks = transform_instances(crop, _image(), instances)
    assert moved.boxes.tolist() == [[0, 0, 10, 10]]
    assert decompress(masks).sum() == 0


def test_no_objects_stay_none() -> None:
    transforms = recipe_detection_train(short_sides=(80,), crop_range=(10, 20))
    _, moved, masks = transform_instances(transforms, _image(), _instances())
    assert moved.boxes.shape == (0, 4)
    assert moved.labels.shape == (0,)
    assert masks == []


def test_more_bitmaps_than_fit_one_plane_keep_their_order() -> None:
    bitmaps = np.random.default_rng(1).random((19, *SIZE)) < 0.3
    masks = compress_bitmaps(bitmaps)
    instances = Instances(
        np.tile(np.array([[0, 0, 60, 40]], np.float32), (20, 1)),
        np.arange(20),
        [[] if index != 7 else [_corners(BOX)] for index in range(20)],
        run_lengths={index + (index >= 7): mask for index, mask in enumerate(masks)},
    )
    flip = compose([A.HorizontalFlip(p=1)])
    _, _, moved = transform_instances(flip, _image(), instances)
    flipped = decompress([mask for index, mask in enumerate(moved) if index != 7])
    assert (flipped == bitmaps[:, :, ::-1]).all()
    assert _bounds(moved[7]) == (30, 5, 50, 20)


def test_the_users_own_transforms_move_points_and_change_pixels() -> None:
    extra = [A.Rotate(limit=(90, 90), p=1), A.RandomBrightnessContrast(p=1)]
    transforms = recipe_detection_train(short_sides=(40,), crop_short_sides=(), flip=0, extra=extra)
    _, moved, masks = transform_instances(transforms, _image(), _instances((20, 10, 40, 30)))
    # Turned about the centre of a 60 x 40 image, which is the object's.
    assert moved.boxes == pytest.approx(np.array([[20, 10, 40, 30]]), abs=0.01)
    assert np.abs(np.array(_bounds(masks[0])) - [20, 10, 40, 30]).max() <= 1


@pytest.mark.parametrize("extra", [A.Normalize(), A.ToFloat()])
def test_images_that_are_no_longer_uint8_are_refused(extra: A.BasicTransform) -> None:
    with pytest.raises(ValueError, match=r"must give a uint8 image .* got float32"):
        transform_instances(compose([A.NoOp(), extra]), _image(), _instances(BOX))


def test_a_pipeline_that_drops_points_is_refused() -> None:
    dropping = A.Compose([A.Crop(0, 0, 15, 15)], keypoint_params=A.KeypointParams(format="xy"))
    with pytest.raises(ValueError, match="must keep all 8 points, got 2"):
        transform_instances(dropping, _image(), _instances(BOX))


def test_a_crop_without_objects_is_taken() -> None:
    transforms = compose([RandomCropInRange(4, 8)])
    seed_transforms(transforms, 3)
    image, moved, _ = transform_instances(transforms, _image(), _instances((0, 0, 1, 1)))
    assert max(image.shape[:2]) <= 8
    assert moved.boxes.shape == (0, 4)


def test_the_store_gives_back_the_objects_of_each_image() -> None:
    two_parts = Instances(
        np.array([[0, 0, 9, 9]], np.float32),
        np.array([2]),
        [[_corners((0, 0, 4, 4)), _corners((5, 5, 9, 9))[:3]]],
        run_lengths={},
    )
    images = [_instances(BOX), _instances(), _instances(BOX, BOX, as_runs=True), two_parts]
    store = InstanceStore(images)
    assert len(store) == 4
    for index, image in enumerate(images):
        stored = store[index]
        assert stored.boxes.tolist() == image.boxes.tolist()
        assert stored.labels.tolist() == image.labels.tolist()
        assert stored.run_lengths == image.run_lengths
        assert [[part.tolist() for part in parts] for parts in stored.polygons] == [
            [part.tolist() for part in parts] for parts in image.polygons
        ]


def test_an_empty_store_has_no_images() -> None:
    assert len(InstanceStore([])) == 0


def test_drawing_resized_polygons_agrees_with_resized_bitmaps(shared: Path) -> None:
    """The mean IoU that `rasterise_polygons` states, on some images."""
    root = shared / "data" / "coco_mini"
    dataset = CocoDetection(root, "val2017", transforms=detection_eval((1333, 800)))
    overlaps = []
    for index in range(0, 24, 3):
        image, original = dataset.load_image(index), dataset.load_instances(index)
        resized, _, masks = transform_instances(dataset.transforms, image, original)
        height, width = resized.shape[:2]
        before = decompress(original.masks(dataset.sizes[index]))
        for bitmap, ours in zip(before, decompress(masks), strict=True):
            smooth = cv2.resize(bitmap * np.float32(1), (width, height)) >= 0.5
            overlaps.append((smooth & ours).sum() / max((smooth | ours).sum(), 1))
    assert np.mean(overlaps) > 0.93
