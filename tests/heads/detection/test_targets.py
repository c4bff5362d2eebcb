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
