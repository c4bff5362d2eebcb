"""Tests of data sets in ADE20K's layout: samples, and the words in which faults are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from recipe_pipelines import recipe_segmentation_train

from swin_dense.datasets.formats.segmentation.ade20k import Ade20k
from swin_dense.datasets.transforms.segmentation import segmentation_eval

NAMES = ("sky", "road", "car")


def write_pair(root: Path, name: str, numbers: np.ndarray, *, split: str = "training") -> None:
    for folder in "images", "annotations":
        (root / folder / split).mkdir(parents=True, exist_ok=True)
    image = np.full((*numbers.shape[:2], 3), 128, dtype=np.uint8)
    cv2.imwrite(str(root / "images" / split / f"{name}.jpg"), image)
    cv2.imwrite(str(root / "annotations" / split / f"{name}.png"), numbers)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pairs of one split, three classes."""
    write_pair(tmp_path, "b", np.array([[0, 1, 2], [3, 255, 1]], dtype=np.uint8))
    write_pair(tmp_path, "a", np.full((4, 5), 3, dtype=np.uint8))
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path


def open_set(root: Path, split: str = "training", **options) -> Ade20k:
    return Ade20k(root, split, transforms=segmentation_eval((8, 6)), **options)


def test_samples_are_sorted_and_labels_are_mapped(root):
    dataset = open_set(root)
    assert dataset.class_names == NAMES
    assert dataset.image_ids == ["a", "b"]
    assert dataset.sizes == [(4, 5), (2, 3)]
    sample = dataset[1]
    assert sample["label_map"].tolist() == [[255, 0, 1], [2, 255, 0]]
    assert sample["label_map"].dtype == torch.int64
    assert sample["original_size"] == (2, 3)
    assert sample["image"].shape == (3, 5, 8)  # fitted into 8 x 6
    assert sample["image"].dtype == torch.uint8


def test_numbers_are_labels_without_reduce_zero_label(root):
    dataset = open_set(root, reduce_zero_label=False, class_names=(*NAMES, "tree"))
    assert dataset[1]["label_map"].tolist() == [[0, 1, 2], [3, 255, 1]]


def test_training_draws_depend_on_seed_epoch_and_index_alone(root):
    first = Ade20k(root, "training", transforms=recipe_segmentation_train(crop=(4, 4)), seed=3)
    second = Ade20k(root, "training", transforms=recipe_segmentation_train(crop=(4, 4)), seed=3)
    second[0, 5], second[0, 1]
    assert torch.equal(first[1, 7]["image"], second[1, 7]["image"])


def test_a_label_out_of_range_is_named_with_its_file(root):
    write_pair(root, "c", np.array([[1, 2]], dtype=np.uint8))
    dataset = open_set(root, reduce_zero_label=True)
    write_pair(root, "c", np.array([[4, 9]], dtype=np.uint8))
    with pytest.raises(ValueError, match=r"1..3 or 255 \(ignored\), got \[4, 9\] in .*c\.png"):
        dataset[2]
    with pytest.raises(ValueError, match=r"1..3 or 255 .* got the numbers 4, 9 in .*c\.png"):
        open_set(root)


def test_all_missing_partners_are_named_together(root):
    write_pair(root, "c", np.ones((2, 2), dtype=np.uint8))
    (root / "annotations/training/a.png").unlink()
    (root / "images/training/c.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"2 at fault: a\.jpg has no label map a\.png; c\.png has no image$"
    ):
        open_set(root)


def test_all_bad_headers_are_named_together(root):
    cv2.imwrite(str(root / "annotations/training/a.png"), np.zeros((9, 5), dtype=np.uint8))
    write_pair(root, "c", np.zeros((2, 2, 3), dtype=np.uint8))
    (root / "annotations/training/b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be used, 3 at fault: ") as raised:
        open_set(root, reduce_zero_label=True)
    message = str(raised.value)
    assert "must have one size, got 5 x 4 and 5 x 9 (width x height)" in message
    assert "got an RGB image in" in message
    assert "b.png cannot be read as a label map" in message


def test_label_maps_that_are_cut_off_or_damaged_are_named_at_the_start(root):
    noise = np.random.default_rng(0).integers(0, 4, (40, 40), dtype=np.uint8)
    for name in "cd":
        write_pair(root, name, noise)
    cut, damaged = root / "annotations/training/c.png", root / "annotations/training/d.png"
    cut.write_bytes(cut.read_bytes()[:-200])
    content = damaged.read_bytes()
    damaged.write_bytes(content[:200] + b"damaged" + content[207:])
    with pytest.raises(ValueError, match=r"2 at fault: .*c\.png cannot .*; .*d\.png cannot"):
        open_set(root)


def test_an_image_that_is_cut_off_is_named_when_it_is_read(root):
    path = root / "images/training/a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[:-20])
    dataset = open_set(root)
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image"):
        dataset[0]


def test_label_maps_may_end_in_capitals(root):
    path = root / "annotations/training/a.png"
    path.rename(path.with_suffix(".PNG"))
    assert open_set(root)[0]["image_id"] == "a"


def test_unknown_splits_and_roots_are_refused(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no split 'val' in .*; there are: training"):
        open_set(root, "val")
    with pytest.raises(FileNotFoundError, match="must hold the folders images and annotations"):
        open_set(tmp_path / "nothing")


def test_class_names_given_go_before_those_of_the_folder(root):
    assert open_set(root, class_names=["x", "y", "z"]).class_names == ("x", "y", "z")


def test_without_a_list_the_classes_are_ade20k_s(root):
    (root / "classes.txt").unlink()
    dataset = open_set(root)
    assert len(dataset.class_names) == 150
    assert dataset.colours.shape == (150, 3)


@pytest.mark.parametrize("split", ["training", "validation"])
def test_true_ade20k_pairs_are_read(shared, split):
    dataset = Ade20k(shared / "data/ade_mini", split, transforms=recipe_segmentation_train())
    assert len(dataset) == 2
    for index in range(2):
        sample = dataset[index, 1]
        labels = sample["label_map"]
        assert labels.shape == sample["image"].shape[1:]
        assert labels[labels != 255].max() < 150
