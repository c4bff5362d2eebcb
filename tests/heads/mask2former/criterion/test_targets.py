"""Targets of Mask2Former: objects of a detector's targets, classes of a label map, their checks."""

import pytest
import torch

from swin_dense.heads.mask2former.criterion.targets import mask_targets, semantic_targets

CPU = torch.device("cpu")


def check(target: object, size: tuple[int, int] = (2, 3)) -> None:
    mask_targets([target], [size], num_classes=3, device=CPU)


def test_objects_without_a_known_mask_are_left_out() -> None:
    masks = torch.zeros(2, 2, 3, dtype=torch.bool)
    masks[1, 0, 0] = True
    labels, known = torch.tensor([0, 2]), torch.tensor([False, True])
    target = {"labels": labels, "masks": masks, "has_mask": known, "boxes": torch.zeros(2, 4)}
    (moved,) = mask_targets([target], [(2, 3)], num_classes=3, device=CPU)
    assert moved["labels"].tolist() == [2]
    assert torch.equal(moved["masks"], masks[1:])


def test_a_label_map_gives_a_mask_of_each_class_that_it_holds() -> None:
    label_map = torch.tensor([[2, 2, 255], [0, 2, 255]])
    (target,) = semantic_targets([label_map], [(2, 3)], num_classes=3, device=CPU)
    assert target["labels"].tolist() == [0, 2]
    assert target["masks"].tolist() == [
        [[False, False, False], [True, False, False]],
        [[True, True, False], [False, True, False]],
    ]


def test_an_ignored_label_map_gives_nothing() -> None:
    (target,) = semantic_targets([torch.full((2, 3), 255)], [(2, 3)], num_classes=3, device=CPU)
    assert len(target["labels"]) == 0
    assert target["masks"].shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"labels": torch.tensor([0])}, "target of image 0 must have masks"),
        (
            {"labels": torch.tensor([0]), "masks": torch.zeros(1, 3, 3)},
            r"masks of image 0 must be \(1, 2, 3\) for 1 labels and a 2 x 3 image, got \(1, 3, 3\)",
        ),
        (
            {"labels": torch.tensor([3]), "masks": torch.zeros(1, 2, 3)},
            r"labels of image 0 must be in 0\.\.2, got 3\.\.3",
        ),
        (torch.zeros(2, 3), "must be a dict of labels and masks, got a Tensor; label maps are for"),
    ],
)
def test_objects_that_do_not_fit_are_refused(target: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(target)


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (torch.zeros(3, 3).long(), r"label map 0 must be int64 of its image's size \(2, 3\)"),
        (torch.zeros(2, 3), r"must be int64 .* got torch.float32 of \(2, 3\)"),
        ({"labels": 1}, "got a dict"),
        (torch.full((2, 3), 7), r"labels must be in 0\.\.2 or 255, got \[7\] in label map 0"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(label_map: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        semantic_targets([label_map], [(2, 3)], num_classes=3, device=CPU)


def test_there_is_one_target_an_image() -> None:
    with pytest.raises(ValueError, match="targets must be one an image, got 0 for 1"):
        mask_targets([], [(2, 3)], num_classes=3, device=CPU)
    with pytest.raises(ValueError, match="targets must be one label map per image, got 0 for 1"):
        semantic_targets([], [(2, 3)], num_classes=3, device=CPU)


def test_masks_may_be_run_lengths() -> None:
    masks = torch.tensor([[[1, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]], dtype=torch.bool)
    runs = [{"size": [2, 3], "counts": [0, 2, 2, 1, 1]}, {"size": [2, 3], "counts": [6]}]
    target = {"labels": torch.tensor([0, 2]), "masks": runs}
    (moved,) = mask_targets([target], [(2, 3)], num_classes=3, device=CPU)
    assert torch.equal(moved["masks"], masks)
    (none,) = mask_targets(
        [{"labels": torch.zeros(0, dtype=torch.int64), "masks": []}],
        [(2, 3)],
        num_classes=3,
        device=CPU,
    )
    assert none["masks"].shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            {"size": [3, 3], "counts": [9]},
            r"lengths of size \[2, 3\] with .*, got size \[3, 3\]",
        ),
        ({"size": [2, 3], "counts": b"6"}, "got size .* and counts that are a bytes"),
        ([6], "got a list"),
        ({"size": [2, 3], "counts": [4]}, "run lengths of image 0 must sum to 6 px, got 4"),
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(mask: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check({"labels": torch.tensor([0]), "masks": [mask]})
