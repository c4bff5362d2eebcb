"""Tests of the one place where images are resized: the references' rule, sizes by hand."""

import cv2
import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets.transforms.pipeline import compose, seed_transforms
from swin_dense.datasets.transforms.resizing import (
    KeepRatioResize,
    KeepRatioResizeImage,
    PillowScale,
    RandomRatioResize,
    fit_image,
    fit_multi_scale,
    keep_ratio_size,
    multi_scale_views,
)


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


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


def test_label_maps_take_the_nearest_pixel_and_points_the_factor_of_each_axis() -> None:
    label_map = np.random.default_rng(0).integers(0, 9, (30, 40), dtype=np.uint8)
    points = np.array([[-0.5, -0.5], [39.5, 29.5], [19.5, 14.5]])
    resize = compose([KeepRatioResize([(67, 47)])])
    resized = resize(image=_noise(30, 40), mask=label_map, keypoints=points)
    assert resized["image"].shape == (47, 63, 3)
    assert (
        resized["mask"] == cv2.resize(label_map, (63, 47), interpolation=cv2.INTER_NEAREST)
    ).all()
    # Points are centres of pixels: the corners of the image go to its corners.
    expected = [[-0.5, -0.5], [62.5, 46.5], [31.0, 23.0]]
    assert resized["keypoints"] == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.parametrize("scales", [[], [(0, 5)]])
def test_resize_refuses_scales_without_px(scales: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="scales must be pairs"):
        KeepRatioResize(scales)


@pytest.mark.parametrize("scale", [(30, 20), (90, 70), (41, 30)])
def test_fitting_an_image_is_the_resize_of_evaluation(scale: tuple[int, int]) -> None:
    image = _noise(30, 41)
    resized = compose([KeepRatioResize([scale])])(image=image)["image"]
    np.testing.assert_array_equal(fit_image(image, scale), resized)
    assert fit_image(image, None) is image


def test_views_have_the_published_ratios_of_the_image():
    views = multi_scale_views(np.zeros((5, 7, 3), dtype=np.uint8))
    assert [view.shape[:2] for view in views] == [
        (3, 4), (4, 5), (5, 7), (6, 9), (8, 11), (9, 12),
    ]  # fmt: skip


def test_views_of_mask2former_have_ratios_of_a_short_side() -> None:
    views = fit_multi_scale(np.zeros((10, 15, 3), dtype=np.uint8), 8)
    assert [view.shape[:2] for view in views] == [
        (4, 6), (6, 9), (8, 12), (10, 15), (12, 18), (14, 21),
    ]  # fmt: skip
    (narrow,) = fit_multi_scale(np.zeros((2, 100, 3), dtype=np.uint8), 8, ratios=(1.75,))
    assert narrow.shape[:2] == (1, 56)  # not 14 x 700


@pytest.mark.parametrize("scale", [(30, 20), (120, 70)])
def test_pillows_filter_weighs_all_pixels_of_a_smaller_image(scale: tuple[int, int]) -> None:
    image = _noise(60, 82)
    size = keep_ratio_size((60, 82), scale)
    by_pillow = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    resized = fit_image(image, PillowScale(scale))
    np.testing.assert_array_equal(resized, np.asarray(by_pillow))
    np.testing.assert_array_equal(
        compose([KeepRatioResize([PillowScale(scale)])])(image=image)["image"], resized
    )
    np.testing.assert_array_equal(fit_multi_scale(image, min(scale), ratios=(1.0,))[0], resized)


def test_bitmaps_are_resized_by_the_centres_of_pixels() -> None:
    bitmaps = np.random.default_rng(0).integers(0, 2, (3, 4, 6), dtype=np.uint8)
    resize = compose([KeepRatioResize([(3, 2)])])
    resized = resize(image=_noise(4, 6), masks=bitmaps)["masks"]
    # The centre of new pixel 0 is at 1 of the old ones: on the edge between 0 and 1, and taken up.
    assert np.array_equal(np.stack(resized), bitmaps[:, 1::2, 1::2])


def test_one_of_several_scales_is_drawn() -> None:
    resize = compose([KeepRatioResize([(60, 20), (60, 30)])])
    sizes = set()
    for key in range(20):
        seed_transforms(resize, key)
        sizes.add(resize(image=_noise(40, 60))["image"].shape[:2])
    assert sizes == {(20, 30), (30, 45)}


def test_the_image_alone_is_resized_for_evaluation() -> None:
    label_map = np.random.default_rng(0).integers(0, 9, (40, 60), dtype=np.uint8)
    moved = compose([KeepRatioResizeImage([(30, 20)])])(image=_noise(40, 60), mask=label_map)
    assert moved["image"].shape == (20, 30, 3)
    assert np.array_equal(moved["mask"], label_map)


def test_a_ratio_between_its_bounds_is_drawn_for_image_and_label_map() -> None:
    resize = compose([RandomRatioResize((60, 40), (0.5, 1.5))])
    heights = set()
    for key in range(40):
        seed_transforms(resize, key)
        moved = resize(image=_noise(40, 60), mask=_noise(40, 60)[..., 0])
        assert moved["image"].shape[:2] == moved["mask"].shape
        heights.add(len(moved["mask"]))
    assert 20 <= min(heights) < 25
    assert 55 < max(heights) <= 60


@pytest.mark.parametrize("ratios", [(2.0, 0.5), (0.0, 1.0)])
def test_ratios_must_be_positive_and_rise(ratios: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ratios must be positive and rise"):
        RandomRatioResize((60, 40), ratios)
