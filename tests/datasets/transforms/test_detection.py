"""Tests of the detection pipelines: the references' rules, objects moved by hand."""

import albumentations as A
import cv2
import numpy as np
import pytest
from recipe_pipelines import recipe_detection_train

from swin_dense.datasets.instances import Instances, transform_instances
from swin_dense.datasets.masks import CompressedMask, compress_bitmaps, decompress
from swin_dense.datasets.transforms.detection import RandomCropInRange, detection_eval
from swin_dense.datasets.transforms.pipeline import compose, seed_transforms

# The published sides (Carion et al. 2020, DETR, section 4), 480 to 800 in steps of 32.
PUBLISHED_SIDES = {480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800}


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_evaluation_resizes_bilinearly_on_uint8() -> None:
    image = _noise(48, 64)
    resized = detection_eval((133, 80))(image=image)["image"]
    assert (resized == cv2.resize(image, (107, 80), interpolation=cv2.INTER_LINEAR)).all()


def _drawn_sizes(transforms: A.Compose, image: np.ndarray, count: int) -> list[tuple[int, ...]]:
    sizes = []
    for key in range(count):
        seed_transforms(transforms, key)
        sizes.append(transforms(image=image)["image"].shape[:2])
    return sizes


def test_multi_scale_draws_every_side_and_stays_within_the_long_side() -> None:
    transforms = recipe_detection_train(crop_short_sides=())
    sizes = _drawn_sizes(transforms, _noise(48, 64), 150)
    assert {min(size) for size in sizes} == PUBLISHED_SIDES
    assert max(max(size) for size in sizes) == 1067
    long_and_thin = _drawn_sizes(transforms, _noise(20, 100), 20)
    assert max(max(size) for size in long_and_thin) == 1333


def test_half_of_the_images_are_cropped() -> None:
    image = _noise(48, 64)
    sizes = _drawn_sizes(recipe_detection_train(short_sides=(48,)), image, 200)
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


def _worked_example() -> tuple[np.ndarray, Instances]:
    """An image of 100 x 200 px (height x width) with four objects that fill their boxes."""
    boxes = np.array(
        [[50, 20, 90, 60], [0, 0, 30, 50], [40, 10, 70, 50], [100, 50, 150, 100]], np.float32
    )
    bitmap = np.zeros((1, 100, 200), bool)
    bitmap[0, 50:100, 100:150] = True
    return np.zeros((100, 200, 3), np.uint8), Instances(
        boxes=boxes,
        labels=np.arange(4),
        polygons=[
            *([box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)] for box in boxes[:3]),
            [],
        ],
        run_lengths={3: compress_bitmaps(bitmap)[0]},
    )


def _filled(mask: CompressedMask) -> list[int]:
    """Bounds of a mask that fills them."""
    bitmap = decompress([mask])[0]
    y, x = bitmap.nonzero()
    bounds = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    assert len(x) == (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
    return bounds


def _transform(transforms: A.Compose, size: tuple[int, int]) -> tuple[Instances, list[list[int]]]:
    """The worked example's objects, with the first key that gives the size."""
    image, instances = _worked_example()
    for key in range(50):
        seed_transforms(transforms, key)
        moved, objects, masks = transform_instances(transforms, image, instances)
        if moved.shape[:2] == size:
            return objects, [_filled(mask) for mask in masks]
    raise AssertionError("no key gives that size")


def test_objects_resized_by_hand() -> None:
    transforms = recipe_detection_train(
        long_side=1000, short_sides=(400,), crop_short_sides=(200,), crop_range=(200, 200), flip=1
    )
    objects, masks = _transform(transforms, (400, 800))
    # Flipped: x becomes 200 - x. Then times 4.
    expected = [[440, 80, 600, 240], [680, 0, 800, 200], [520, 40, 640, 200], [200, 200, 400, 400]]
    assert objects.labels.tolist() == [0, 1, 2, 3]
    assert objects.boxes == pytest.approx(np.array(expected), abs=1e-3)
    assert masks == expected


def test_objects_cropped_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(*_: object, **__: object) -> dict[str, slice]:
        return {"rows": slice(0, 200), "columns": slice(60, 260)}

    monkeypatch.setattr(RandomCropInRange, "get_params_dependent_on_data", place)
    transforms = recipe_detection_train(
        long_side=1000, short_sides=(400,), crop_short_sides=(200,), crop_range=(200, 200), flip=1
    )
    objects, masks = _transform(transforms, (400, 400))
    # Flipped, times 2 to 200 x 400 px, cut from x = 60 to 260, and times 2 to 400 x 400 px:
    # the first sticks out at the right, (320, 80, 480, 240); the second is outside, the third just
    # touches the border with x1 = 400: both are dropped; the last is whole.
    expected = [[320, 80, 400, 240], [80, 200, 280, 400]]
    assert objects.labels.tolist() == [0, 3]
    assert objects.boxes == pytest.approx(np.array(expected), abs=1e-3)
    assert masks == expected


@pytest.mark.parametrize(
    ("cut", "side", "expected"),
    [
        ((384, 600), 480, (480, 750)),  # 600 * 480/384
        ((600, 384), 800, (1250, 800)),
        ((384, 384), 640, (640, 640)),
        ((200, 600), 800, (444, 1333)),  # the long side decides: factor 2.2217
    ],
)
def test_a_crop_is_resized_again_as_a_whole_image_would_be(
    cut: tuple[int, int],
    side: int,
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def place(*_: object, **__: object) -> dict[str, slice]:
        return {"rows": slice(0, cut[0]), "columns": slice(0, cut[1])}

    monkeypatch.setattr(RandomCropInRange, "get_params_dependent_on_data", place)
    image = np.zeros((600, 600, 3), np.uint8)
    sizes = _drawn_sizes(
        recipe_detection_train(short_sides=(side,), crop_short_sides=(600,)), image, 12
    )
    assert set(sizes) == {(side, side), expected}


def test_before_the_crop_the_short_side_is_one_of_crop_short_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = set()

    def place(self: RandomCropInRange, params: dict, data: dict) -> dict[str, slice]:
        seen.add(params["shape"][:2])
        return {"rows": slice(None), "columns": slice(None)}

    monkeypatch.setattr(RandomCropInRange, "get_params_dependent_on_data", place)
    sizes = _drawn_sizes(recipe_detection_train(), np.zeros((48, 64, 3), np.uint8), 60)
    assert seen == {(400, 533), (500, 667), (600, 800)}
    assert {min(size) for size in sizes} <= PUBLISHED_SIDES


def test_1x_is_a_flip_and_one_scale() -> None:
    image = _noise(48, 64)
    transforms = recipe_detection_train(short_sides=(800,), crop_short_sides=())
    plain = detection_eval((1333, 800))(image=image)["image"]
    flipped = detection_eval((1333, 800))(image=image[:, ::-1].copy())["image"]
    seen = set()
    for key in range(12):
        seed_transforms(transforms, key)
        moved = transforms(image=image)["image"]
        assert (moved == plain).all() or (moved == flipped).all()
        seen.add(bool((moved == plain).all()))
    assert seen == {True, False}


@pytest.mark.parametrize("sides", [(0, 5), (6, 5)])
def test_crop_refuses_ranges_that_fall(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must rise from 1 px"):
        RandomCropInRange(*sides)
