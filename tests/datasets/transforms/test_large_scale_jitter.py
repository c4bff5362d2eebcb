"""Tests of large-scale jitter: the image, its map, bitmaps and points move together."""

import numpy as np
import pytest

from swin_dense.datasets.transforms.large_scale_jitter import LargeScaleJitter, PadToSize, pad_to
from swin_dense.datasets.transforms.panoptic import panoptic_jitter, square_crops
from swin_dense.datasets.transforms.pipeline import compose, seed_transforms


def _scene(height: int = 40, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is 200 on a rectangle, and the rectangle's map."""
    mask = np.zeros((height, width), np.uint16)
    mask[8:24, 15:45] = 300
    image = np.zeros((height, width, 3), np.uint8)
    image[mask > 0, 0] = 200
    return image, mask


def test_everything_moves_together() -> None:
    image, mask = _scene()
    pipeline = compose([LargeScaleJitter(48, (0.3, 2.0))])
    corners = np.array([[15, 8], [45, 24]], np.float32) - 0.5
    shapes = set()
    for seed in range(40):
        seed_transforms(pipeline, seed)
        moved = pipeline(image=image, mask=mask, masks=mask[None] > 0, keypoints=corners)
        assert moved["image"].shape == (48, 48, 3)
        assert moved["mask"].shape == (48, 48)
        assert set(np.unique(moved["mask"])) <= {0, 300}
        drawn = moved["mask"] > 0
        assert (drawn == moved["masks"][0]).all()
        bright = (moved["image"][..., 0] > 100) & (moved["image"][..., 1] < 64)
        assert (drawn == bright).mean() > 0.93
        (left, top), (right, bottom) = np.clip(np.round(moved["keypoints"] + 0.5), 0, 48)
        box = np.zeros((48, 48), bool)
        box[int(top) : int(bottom), int(left) : int(right)] = True
        assert (drawn == box).mean() > 0.93
        shapes.add(int((moved["image"][..., 1] == 128).sum()))
    assert len(shapes) > 10  # as many amounts of padding: the factor varies


def test_the_factor_fits_the_image_into_the_square_and_the_rest_is_padded() -> None:
    image, mask = _scene()
    pipeline = panoptic_jitter(size=60, ratios=(0.5, 0.5), flip=0.0)
    moved = pipeline(image=image, mask=mask)
    assert (moved["image"][20:] == 128).all()  # 40 x 60 at a half is 20 x 30
    assert (moved["image"][:, 30:] == 128).all()
    assert (moved["image"][:20, :30, 1] == 0).all()
    assert (moved["mask"][20:] == 0).all()
    assert (moved["mask"][4:12, 8:22] == 300).all()


def test_enlarged_images_are_cut_at_one_share_of_the_room() -> None:
    image = np.arange(40 * 60, dtype=np.int64).reshape(40, 60)
    pixels = np.stack([image // 60, image % 60, image * 0], axis=-1).astype(np.uint8)
    places = set()
    for seed in range(30):
        pipeline = panoptic_jitter(size=30, ratios=(2.0, 2.0), flip=0.0)  # 40 x 60 as it is
        seed_transforms(pipeline, seed)
        part = pipeline(image=pixels, mask=np.zeros((40, 60), np.uint16))["image"]
        top, left = part[0, 0, :2].tolist()
        assert round(10 * left / 30) - 1 <= top <= round(10 * left / 30) + 1
        places.add(left)
    assert len(places) > 8
    assert max(places) <= 30


def test_crops_are_squares_whose_rest_is_void() -> None:
    image, mask = _scene()
    pipeline = square_crops(size=32, short_sides=(16, 64), long_side=96, flip=0.5, photometric=True)
    kinds = set()
    for seed in range(20):
        seed_transforms(pipeline, seed)
        moved = pipeline(image=image, mask=mask)
        assert moved["image"].shape == (32, 32, 3)
        assert moved["mask"].shape == (32, 32)
        is_small = bool((moved["image"][16:] == 128).all())
        assert not is_small or (moved["mask"][16:] == 0).all()
        kinds.add(is_small)
    assert kinds == {True, False}


def test_padding_leaves_what_is_large_enough() -> None:
    pixels = np.ones((3, 5), np.uint8)
    assert pad_to(pixels, (2, 5), 9) is pixels
    assert pad_to(pixels, (4, 4), 9)[3].tolist() == [9] * 5
    moved = compose([PadToSize((4, 6), mask_value=255)])(
        image=np.zeros((3, 5, 3), np.uint8), mask=pixels, keypoints=np.array([[1.0, 2.0]])
    )
    assert moved["mask"][3, 5] == 255
    assert moved["image"][3, 5].tolist() == [128] * 3
    assert moved["keypoints"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("options", [(0, (0.1, 2.0)), (8, (0.0, 1.0)), (8, (2.0, 1.0))])
def test_numbers_out_of_range_are_refused(options: tuple[int, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="jitter must have a size of at least 1 px"):
        LargeScaleJitter(*options)
