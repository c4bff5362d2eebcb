"""Tests of the pipelines: the references' rules, and randomness that can be repeated."""

import albumentations as A
import cv2
import numpy as np
import pytest

from swin_dense.datasets.transforms import (
    MULTI_SCALE_SIDES,
    KeepRatioResize,
    RandomCropInRange,
    compose,
    detection_eval,
    detection_train,
    keep_ratio_size,
    seed_transforms,
)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((480, 640), (1333, 800), (800, 1067)),  # 640 * 800/480 = 1066.67
        ((640, 480), (1333, 800), (1067, 800)),
        ((480, 640), (800, 1333), (800, 1067)),  # the order of the scale does not matter
        ((427, 640), (1333, 800), (800, 1199)),
        ((200, 1000), (1333, 800), (267, 1333)),  # the long side decides: factor 1.333
        ((593, 600), (512, 320), (320, 324)),
        ((360, 480), (480, 360), (360, 480)),
        ((100, 201), (100, 100), (50, 100)),  # 49.75 and 100
        ((100, 200), (101, 51), (51, 101)),  # halves go up: 50.5 + 0.5
        ((1, 5000), (1333, 800), (1, 1333)),  # never less than a pixel
        ((1, 1), (1333, 800), (800, 800)),
    ],
)
def test_keep_ratio_size_follows_the_references(
    size: tuple[int, int], scale: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert keep_ratio_size(size, scale) == expected


@pytest.mark.parametrize(("size", "scale"), [((0, 5), (10, 10)), ((5, 5), (10, -1))])
def test_keep_ratio_size_refuses_sides_below_one(
    size: tuple[int, int], scale: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="at least 1 px"):
        keep_ratio_size(size, scale)


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_evaluation_resizes_bilinearly_on_uint8() -> None:
    image = _noise(48, 64)
    resized = detection_eval((133, 80))(image=image)["image"]
    assert (resized == cv2.resize(image, (107, 80), interpolation=cv2.INTER_LINEAR)).all()


def test_label_maps_take_the_nearest_pixel_and_points_the_factor_of_each_axis() -> None:
    label_map = np.random.default_rng(0).integers(0, 9, (30, 40), dtype=np.uint8)
    points = np.array([[-0.5, -0.5], [39.5, 29.5], [19.5, 14.5]])
    resized = detection_eval((67, 47))(image=_noise(30, 40), mask=label_map, keypoints=points)
    assert resized["image"].shape == (47, 63, 3)
    assert (
        resized["mask"] == cv2.resize(label_map, (63, 47), interpolation=cv2.INTER_NEAREST)
    ).all()
    # Points are centres of pixels: the corners of the image go to its corners.
    expected = [[-0.5, -0.5], [62.5, 46.5], [31.0, 23.0]]
    assert resized["keypoints"] == pytest.approx(np.array(expected), abs=1e-5)


def _drawn_sizes(transforms: A.Compose, image: np.ndarray, count: int) -> list[tuple[int, ...]]:
    sizes = []
    for key in range(count):
        seed_transforms(transforms, key)
        sizes.append(transforms(image=image)["image"].shape[:2])
    return sizes


def test_multi_scale_draws_every_side_and_stays_within_the_long_side() -> None:
    transforms = detection_train(crop_short_sides=())
    sizes = _drawn_sizes(transforms, _noise(48, 64), 150)
    assert {min(size) for size in sizes} == set(MULTI_SCALE_SIDES)
    assert max(max(size) for size in sizes) == 1067
    long_and_thin = _drawn_sizes(transforms, _noise(20, 100), 20)
    assert max(max(size) for size in long_and_thin) == 1333


def test_half_of_the_images_are_cropped() -> None:
    image = _noise(48, 64)
    sizes = _drawn_sizes(detection_train(short_sides=(48,)), image, 200)
    # Without a crop the ratio stays 4:3; a crop has it only by chance.
    share = np.mean([size == (48, 64) for size in sizes])
    assert 0.4 < share < 0.6


def test_a_crop_has_sides_from_its_range_within_the_image() -> None:
    crop = compose([RandomCropInRange(4, 6)])
    sizes = set(_drawn_sizes(crop, _noise(5, 9), 200))
    assert sizes == {(height, width) for height in (4, 5) for width in (4, 5, 6)}


def test_a_crop_can_be_at_every_place_and_moves_points_along() -> None:
    y, x = np.mgrid[:6, :8]
    image = np.stack([y, x, x], axis=2).astype(np.uint8)
    crop = compose([RandomCropInRange(4, 4)])
    places = set()
    for key in range(200):
        seed_transforms(crop, key)
        moved = crop(image=image, keypoints=np.array([[7.0, 5.0]]))
        top, left = (int(place) for place in moved["image"][0, 0, :2])
        assert moved["image"].shape == (4, 4, 3)
        assert moved["keypoints"].tolist() == [[7 - left, 5 - top]]
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(5)}


def test_an_image_smaller_than_the_crop_is_left_whole() -> None:
    image = _noise(30, 20)
    assert (compose([RandomCropInRange(384, 600)])(image=image)["image"] == image).all()


def test_the_same_key_gives_the_same_sample_and_another_key_another() -> None:
    image = _noise(48, 64)
    first, second = detection_train(), detection_train()
    seed_transforms(first, 1, 2, 3)
    seed_transforms(second, 1, 2, 3)
    second_image = second(image=image)["image"]
    assert (first(image=image)["image"] == second_image).all()
    others = []
    for index in range(4, 8):
        seed_transforms(second, 1, 2, index)
        others.append(second(image=image)["image"])
    assert any(o.shape != second_image.shape or (o != second_image).any() for o in others)


def test_flip_and_branch_are_drawn_independently() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 255
    transforms = detection_train(short_sides=(24,), crop_short_sides=(48,), crop_range=(40, 40))
    seen = set()
    for key in range(60):
        seed_transforms(transforms, key)
        moved = transforms(image=image)["image"]
        seen.add((moved.shape[:2] == (24, 24), bool(moved[0, 0, 0])))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_1x_is_a_flip_and_one_scale() -> None:
    image = _noise(48, 64)
    transforms = detection_train(short_sides=(800,), crop_short_sides=())
    plain = detection_eval()(image=image)["image"]
    mirrored = detection_eval()(image=image[:, ::-1].copy())["image"]
    seen = set()
    for key in range(12):
        seed_transforms(transforms, key)
        moved = transforms(image=image)["image"]
        assert (moved == plain).all() or (moved == mirrored).all()
        seen.add(bool((moved == plain).all()))
    assert seen == {True, False}


@pytest.mark.parametrize("scales", [[], [(0, 5)]])
def test_resize_refuses_scales_without_px(scales: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="scales must be pairs"):
        KeepRatioResize(scales)


@pytest.mark.parametrize("sides", [(0, 5), (6, 5)])
def test_crop_refuses_ranges_that_fall(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must rise from 1 px"):
        RandomCropInRange(*sides)
