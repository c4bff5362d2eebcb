"""Checks of the targets of detectors."""

import pytest
import torch

from swin_dense.heads.detection.targets import check_targets, move_target


def target(num: int = 2, size: tuple[int, int] = (9, 7)) -> dict:
    """Objects of class 0 that fit an image of that size."""
    return {
        "boxes": torch.tensor([[1.0, 1, 5, 6]]).repeat(num, 1),
        "labels": torch.zeros(num, dtype=torch.int64),
        "masks": torch.ones(num, *size, dtype=torch.uint8),
    }


@pytest.mark.parametrize("num", [0, 2])
def test_targets_that_fit_pass(num: int) -> None:
    check_targets([target(num)], [(9, 7)], num_classes=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"boxes": torch.zeros(3, 4)}, r"boxes of image 0 must be \(2, 4\).* got \(3, 4\)"),
        ({"masks": torch.zeros(2, 7, 9)}, r"masks of image 0 must be \(2, 9, 7\).* a 9 x 7 image"),
        ({"labels": torch.tensor([0, 4])}, r"labels of image 0 must be in 0..3, got 0..4"),
        (
            {"boxes": torch.tensor([[0.0, 0, 3, 3], [1, 1, torch.inf, 2]])},
            r"boxes of image 0 must be finite, got \[1.0, 1.0, inf, 2.0\]",
        ),
        ({"labels": torch.tensor([-1, 0])}, r"must be in 0..3, got -1..0"),
        ({"has_mask": torch.ones(3).bool()}, r"has_mask of image 0 must be \(2,\).* got \(3,\)"),
        ({"has_mask": torch.ones(2)}, r"has_mask of image 0 must be bool, got torch.float32"),
    ],
)
def test_targets_that_do_not_fit_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_targets([target() | changed], [(9, 7)], num_classes=4)


def test_targets_with_a_part_missing_or_for_another_number_of_images_are_refused() -> None:
    without = target()
    del without["masks"]
    with pytest.raises(ValueError, match="target of image 0 must have masks"):
        check_targets([without], [(9, 7)], num_classes=4)
    with pytest.raises(ValueError, match="targets must be one an image, got 2 for 1"):
        check_targets([target(), target()], [(9, 7)], num_classes=4)


def test_masks_that_are_not_learned_are_neither_asked_for_nor_looked_at() -> None:
    wrong = target() | {"masks": torch.zeros(1, 1, 1), "has_mask": torch.zeros(9)}
    check_targets([wrong], [(9, 7)], num_classes=1, with_masks=False)
    moved = move_target(wrong, torch.device("cpu"), with_masks=False)
    assert moved.keys() == {"boxes", "labels"}
    del wrong["masks"], wrong["has_mask"]
    check_targets([wrong], [(9, 7)], num_classes=1, with_masks=False)


def test_moved_targets_keep_what_is_known_of_their_masks() -> None:
    known = torch.tensor([True, False])
    moved = move_target(target() | {"has_mask": known}, torch.device("cpu"))
    assert moved["has_mask"].tolist() == [True, False]
    assert "has_mask" not in move_target(target(), torch.device("cpu"))


def test_moved_targets_have_float32_boxes_and_int64_labels() -> None:
    moved = move_target(
        {
            "boxes": torch.zeros(1, 4, dtype=torch.float64),
            "labels": torch.zeros(1, dtype=torch.int32),
            "masks": torch.zeros(1, 2, 2, dtype=torch.bool),
        },
        torch.device("cpu"),
    )
    assert moved["boxes"].dtype == torch.float32
    assert moved["labels"].dtype == torch.int64
