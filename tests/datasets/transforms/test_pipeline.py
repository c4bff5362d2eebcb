"""Tests of the pipeline: points are never dropped, and randomness can be repeated."""

import albumentations as A
import numpy as np
from recipe_pipelines import recipe_detection_train

from swin_dense.datasets.transforms.pipeline import compose, seed_transforms


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_points_outside_the_image_are_kept() -> None:
    crop = compose([A.Crop(2, 2, 4, 4)])
    moved = crop(image=_noise(6, 8), keypoints=np.array([[0.0, 1.0], [7.0, 5.0], [3.0, 3.0]]))
    assert moved["keypoints"].tolist() == [[-2, -1], [5, 3], [1, 1]]


def test_the_same_key_gives_the_same_sample_and_another_key_another() -> None:
    image = _noise(48, 64)
    first, second = recipe_detection_train(), recipe_detection_train()
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
    transforms = recipe_detection_train(
        short_sides=(24,), crop_short_sides=(48,), crop_range=(40, 40)
    )
    seen = set()
    for key in range(60):
        seed_transforms(transforms, key)
        moved = transforms(image=image)["image"]
        seen.add((moved.shape[:2] == (24, 24), bool(moved[0, 0, 0])))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}
