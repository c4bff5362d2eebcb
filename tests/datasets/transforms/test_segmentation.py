"""Tests of the segmentation pipelines: sizes, the rule of the crop, colours by hand."""

import random

import cv2
import numpy as np
import pytest
from recipe_pipelines import recipe_segmentation_train

from swin_dense.datasets.transforms.pipeline import seed_transforms
from swin_dense.datasets.transforms.segmentation import (
    PhotometricDistortion,
    RandomCropOfClasses,
    segmentation_eval,
)

NO_CHANGE = {"shift": 0.0, "contrast": 1.0, "contrast_first": False, "saturation": 1.0, "turn": 0}


def distort(pixel: list[int], **changes) -> list[int]:
    image = np.array([[pixel]], dtype=np.uint8)
    return PhotometricDistortion().apply(image, **{**NO_CHANGE, **changes})[0, 0].tolist()


def make_pair(height: int = 60, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red channel is its label map."""
    labels = np.random.default_rng(0).integers(0, 4, (height, width), dtype=np.uint8)
    return np.stack([labels, labels, labels], axis=-1), labels


def test_image_and_label_map_move_together():
    image, labels = make_pair()
    pipeline = recipe_segmentation_train(
        scale=(90, 60), ratios=(1.0, 1.0), crop=(32, 40), photometric=False
    )
    for key in range(10):
        seed_transforms(pipeline, key)
        moved = pipeline(image=image, mask=labels)
        assert moved["mask"].shape == (32, 40)
        assert np.array_equal(moved["image"][..., 0], moved["mask"])


def test_sizes_follow_the_ratio_and_small_images_are_not_padded():
    image, labels = make_pair()
    pipeline = recipe_segmentation_train(scale=(90, 60), ratios=(0.5, 2.0), crop=(64, 64))
    sizes = set()
    for key in range(30):
        seed_transforms(pipeline, key)
        moved = pipeline(image=image, mask=labels)
        assert moved["image"].shape[:2] == moved["mask"].shape
        sizes.add(moved["mask"].shape)
    assert max(sizes) == (64, 64)
    assert min(sizes)[0] < 40
    assert min(sizes)[0] >= 30


def test_evaluation_resizes_the_image_and_keeps_the_label_map():
    image, labels = make_pair()
    moved = segmentation_eval((45, 30))(image=image, mask=labels)
    assert moved["image"].shape == (30, 45, 3)
    assert np.array_equal(moved["mask"], labels)
    expected = cv2.resize(image, (45, 30), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(moved["image"], expected)


def test_a_crop_with_too_much_of_one_class_is_drawn_again():
    labels = np.zeros((40, 400), dtype=np.uint8)
    labels[:, 300:] = np.arange(100) % 2  # only crops from here are mixed
    crop = RandomCropOfClasses((40, 100), cat_max_ratio=0.75)
    shares = []
    for key in range(100):
        seed_transforms(crop, key)
        place = crop.get_params_dependent_on_data({"shape": labels.shape}, {"mask": labels})
        shares.append((labels[place["place"]] == 0).mean())
    # One draw in six is mixed enough; with eleven draws 87% of the crops are.
    assert 0.7 < np.mean(np.array(shares) < 0.75) < 0.97


class _CountedRandom(random.Random):
    """Counts the whole numbers drawn."""

    num_drawn = 0

    def randint(self, a: int, b: int) -> int:
        self.num_drawn += 1
        return super().randint(a, b)


@pytest.mark.parametrize(
    ("num_classes", "cat_max_ratio", "num_places"),
    [
        (4, 0.75, 1),  # four classes of a quarter each: the first place will do
        (1, 0.75, 11),  # one class alone: ten tries in vain, and one more that is not looked at
        (1, 1.0, 1),  # any place will do
    ],
)
def test_a_crop_is_tried_ten_times(num_classes, cat_max_ratio, num_places):
    labels = (np.indices((8, 8)).sum(0) % num_classes).astype(np.uint8)
    crop, draws = RandomCropOfClasses((4, 4), cat_max_ratio=cat_max_ratio), _CountedRandom(0)
    crop.set_random_state(np.random.default_rng(0), draws)
    crop.get_params_dependent_on_data({"shape": (8, 8)}, {"mask": labels})
    assert draws.num_drawn == 2 * num_places  # of row and column


@pytest.mark.parametrize(
    ("ratio", "size", "expected"),
    [
        (0.5, (512, 683), (256, 342)),  # into 1024 x 256: half of 683 is 341.5
        (2.0, (512, 683), (1024, 1366)),
        (1.0, (300, 2000), (307, 2048)),  # the long side decides: factor 1.024
        (0.75, (364, 500), (384, 527)),  # into 1536 x 384: 500 * 384/364 = 527.47
    ],
)
def test_sizes_by_hand(ratio, size, expected):
    pipeline = recipe_segmentation_train(
        ratios=(ratio, ratio), crop=(4096, 4096), photometric=False
    )
    image = np.zeros((*size, 3), np.uint8)
    moved = pipeline(image=image, mask=image[..., 0])
    assert moved["image"].shape[:2] == moved["mask"].shape == expected


@pytest.mark.parametrize(
    ("labels", "balanced"),
    [
        ([0, 0, 0, 1], False),  # exactly 75%
        ([0, 0, 1, 1], True),
        ([0, 0, 0, 0], False),
        ([0, 1, 255, 255], True),
        ([0, 255, 255, 255], False),
        ([255, 255, 255, 255], False),
    ],
)
def test_ignored_pixels_do_not_count_for_the_share(labels, balanced):
    rows = np.array([labels, [0, 0, 1, 1]], dtype=np.uint8)
    crop = RandomCropOfClasses((1, 4), cat_max_ratio=0.75)
    num_first = 0
    for key in range(40):
        seed_transforms(crop, key)
        place = crop.get_params_dependent_on_data({"shape": (2, 4)}, {"mask": rows})["place"]
        num_first += place[0].start == 0
    # A balanced row is taken every other time, another once in 2^11.
    assert (num_first > 8) == balanced


def test_colours_by_hand():
    assert distort([100, 50, 25]) == [100, 50, 25]
    assert distort([100, 50, 250], shift=10.7) == [110, 60, 255]
    assert distort([5, 50, 250], shift=-20) == [0, 30, 230]
    assert distort([100, 50, 25], contrast=1.5) == [150, 75, 37]
    # Contrast before saturation clips: (250, 125, 0) doubles to (255, 250, 0).
    assert distort([250, 125, 0], contrast=2.0, contrast_first=True) == [255, 250, 0]
    # No saturation is left: all channels are the largest.
    assert distort([200, 100, 50], saturation=0.0) == [200, 200, 200]
    # A turn by 60 of 180 steps makes red green, back makes it blue.
    assert distort([200, 0, 0], turn=60) == [0, 200, 0]
    assert distort([200, 0, 0], turn=-60) == [0, 0, 200]


def test_the_order_of_the_changes_by_hand():
    # Brightness comes first: (100 + 20) * 1.5, and 250 + 20 is cut to 255 before it is halved.
    assert distort([100, 250, 0], shift=20, contrast=1.5) == [180, 255, 30]
    assert distort([100, 250, 0], shift=20, contrast=0.5) == [60, 127, 10]
    # Contrast last: saturation 255 -> 127 makes (250, 188, 125), which is doubled and cut.
    last = distort([250, 125, 0], contrast=2.0, saturation=0.5)
    assert last == pytest.approx([255, 255, 250], abs=1)
    # Contrast first: (255, 250, 0), then saturation.
    first = distort([250, 125, 0], contrast=2.0, saturation=0.5, contrast_first=True)
    assert first == pytest.approx([255, 252, 128], abs=1)
    # Hue after saturation: (200, 100, 50) -> (200, 150, 125) -> a third of the circle further.
    both = distort([200, 100, 50], saturation=0.5, turn=60)
    assert both == pytest.approx([125, 200, 150], abs=1)


@pytest.mark.parametrize("contrast_first", [False, True])
def test_colours_are_those_of_the_formula_for_each_pixel(contrast_first):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    changes = {"shift": -7.3, "contrast": 1.37, "saturation": 0.61, "turn": -13}

    def scale(values, factor=1.0, offset=0.0):
        return np.clip(values.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)

    expected = scale(image, offset=changes["shift"])
    if contrast_first:
        expected = scale(expected, changes["contrast"])
    hsv = cv2.cvtColor(expected, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = scale(hsv[..., 1], changes["saturation"])
    hsv = cv2.cvtColor(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + changes["turn"]) % 180
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if not contrast_first:
        expected = scale(expected, changes["contrast"])
    found = PhotometricDistortion().apply(image, **changes, contrast_first=contrast_first)
    assert np.array_equal(found, expected)


def test_each_change_of_colour_is_drawn_half_of_the_time():
    transform = PhotometricDistortion()
    seed_transforms(transform, 0)
    drawn = [transform.get_params() for _ in range(400)]
    for name, neutral in NO_CHANGE.items():
        assert 0.4 < np.mean([params[name] != neutral for params in drawn]) < 0.6
    assert all(-32 <= params["shift"] <= 32 for params in drawn)
    assert all(0.5 <= params["contrast"] <= 1.5 for params in drawn)
    assert all(0.5 <= params["saturation"] <= 1.5 for params in drawn)
    turns = {params["turn"] for params in drawn}
    assert min(turns) == -18
    assert max(turns) == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": (2.0, 0.5)}, "ratios must be positive and rise"),
        ({"crop": (0, 5)}, "size of a crop must be at least 1 px"),
        ({"cat_max_ratio": 0.0}, "cat_max_ratio must be in"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        recipe_segmentation_train(**options)
