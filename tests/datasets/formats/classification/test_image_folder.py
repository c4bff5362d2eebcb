"""Folders of classes as a data set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from swin_dense.datasets.formats.classification.image_folder import ImageFolder
from swin_dense.datasets.transforms.classification import as_tensor


def _noisy(image: Image.Image) -> Tensor:
    """The image with something drawn at random."""
    return as_tensor(image) + torch.randint(0, 9, (1,)).to(torch.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in (("train", 4), ("val", 1)):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.full((6, 8, 3), 40 * label + index, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


def test_samples_have_image_label_id_and_size(root: Path) -> None:
    data = ImageFolder(root, "training", transforms=as_tensor)
    assert (len(data), data.class_names, data.split_name) == (8, ("cat", "dog"), "train")
    sample = data[5]
    assert sample["image"].shape == (3, 6, 8)
    assert int(sample["image"][0, 0, 0]) == 41
    assert (sample["image_id"], sample["label"]) == ("dog/1.png", 1)
    assert sample["original_size"] == (6, 8)
    assert data.count_labels().tolist() == [4, 4]
    assert "split train: 8 images, 2 classes (cat 4, dog 4); other splits: val" in data.description


def test_what_is_drawn_depends_on_seed_epoch_and_index_alone(root: Path) -> None:
    data = ImageFolder(root, "train", transforms=_noisy, seed=3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    values = [int(data[(index, epoch)]["image"][0, 0, 0]) for epoch in range(4) for index in (0, 0)]
    assert torch.equal(torch.get_rng_state(), before)
    assert values[::2] == values[1::2]
    assert len(set(values)) > 1
    other = ImageFolder(root, "train", transforms=_noisy, seed=4)
    assert [int(other[(0, epoch)]["image"][0, 0, 0]) for epoch in range(4)] != values[::2]


def test_labels_of_evaluation_are_the_models(root: Path) -> None:
    data = ImageFolder(root, "val", transforms=as_tensor, class_names=("owl", "dog", "cat"))
    assert data.labels.tolist() == [2, 1]


def test_a_class_that_is_only_in_the_validation_split_is_a_fault(root: Path) -> None:
    (root / "val" / "owl").mkdir()
    with pytest.raises(ValueError, match=r"class folders of no known class: 1 \(owl\)"):
        ImageFolder(root, "val", transforms=as_tensor)


def test_a_share_of_each_class_is_kept_for_evaluation(root: Path) -> None:
    options = {"transforms": as_tensor, "val_fraction": 0.3}
    training, kept = ImageFolder(root, "train", **options), ImageFolder(root, "val", **options)
    assert set(training.image_ids) | set(kept.image_ids) == {
        f"{name}/{index}.png" for name in ("cat", "dog") for index in range(4)
    }
    assert not set(training.image_ids) & set(kept.image_ids)
    assert set(kept.labels.tolist()) == {0, 1}
    assert kept.kept_images == tuple(kept.image_ids)
    assert training.kept_images == ()


def test_a_list_of_images_is_kept_for_evaluation(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "kept.txt"
    listed.write_text("dog/0.png\ncat/3.png\n")
    data = ImageFolder(root, "val", transforms=as_tensor, val_list=listed)
    assert data.image_ids == ["cat/3.png", "dog/0.png"]
    listed.write_text("dog/9.png\n")
    with pytest.raises(ValueError, match=r"kept.txt must name some .* 1 of them unknown: dog/9"):
        ImageFolder(root, "val", transforms=as_tensor, val_list=listed)


def test_classes_without_splits_are_divided_to_train_and_whole_to_evaluate(root: Path) -> None:
    flat = root / "train"
    with pytest.raises(ValueError, match=r"got classes without splits; .*--data\.val-fraction"):
        ImageFolder(flat, "train", transforms=as_tensor)
    assert len(ImageFolder(flat, "val", transforms=as_tensor)) == 8
    assert len(ImageFolder(flat, "train", transforms=as_tensor, val_fraction=0.3)) < 8


def test_a_split_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no split 'test' in .*; there are: train, val;"):
        ImageFolder(root, "test", transforms=as_tensor)


def test_a_damaged_image_is_named_when_it_is_read(root: Path) -> None:
    path = root / "train" / "cat" / "0.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    data = ImageFolder(root, "train", transforms=as_tensor)
    with pytest.raises(ValueError, match=r"cat/0\.png cannot be read as an image"):
        data[0]
