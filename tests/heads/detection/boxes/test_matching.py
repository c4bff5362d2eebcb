"""Assignment and sampling against hand-worked cases and a loop."""

import pytest
import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.matching import (
    BACKGROUND,
    IGNORED,
    RoISamples,
    image_generators,
    match_boxes,
    sample_matches,
    sample_rois,
)


def match(iou: list[list[float]], *, match_low_quality: bool = True) -> list[int]:
    """Match with the thresholds of the region proposal network."""
    return match_boxes(
        torch.tensor(iou),
        positive_iou=0.7,
        negative_iou=0.3,
        min_positive_iou=0.3,
        match_low_quality=match_low_quality,
    ).tolist()


def slow_match(iou: Tensor) -> list[int]:
    """The rule of the paper, ground truth by ground truth."""
    matches = []
    for column in iou.t():
        best = column.max()
        background = 0 <= best < 0.3
        matches.append(
            int(column.argmax()) if best >= 0.7 else BACKGROUND if background else IGNORED
        )
    for index, row in enumerate(iou):
        for box, value in enumerate(row):
            if value == row.max() and value >= 0.3:
                matches[box] = index
    return matches


def rois(proposals: list[list[float]], gt_boxes: list[list[float]], **changed) -> RoISamples:
    """Sample with the settings of Mask R-CNN; ground truth i has label i."""
    settings = {
        "num_classes": 5,
        "positive_iou": 0.5,
        "match_low_quality": True,
        "num_samples": 8,
        "positive_fraction": 0.25,
    }
    return sample_rois(
        torch.tensor(proposals, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(gt_boxes, dtype=torch.float32).reshape(-1, 4),
        torch.arange(len(gt_boxes)),
        **(settings | changed),
    )


def test_boxes_are_positive_background_or_between() -> None:
    assert match([[0.9, 0.5, 0.1], [0.0, 0.2, 0.2]]) == [0, IGNORED, BACKGROUND]


def test_low_quality_matches_are_all_the_boxes_that_overlap_ground_truth_most() -> None:
    assert match([[0.4, 0.4, 0.35]]) == [0, 0, IGNORED]
    assert match([[0.4, 0.4, 0.35]], match_low_quality=False) == [IGNORED] * 3


def test_of_two_low_quality_matches_of_a_box_the_later_wins() -> None:
    assert match([[0.9, 0.1], [0.5, 0.2]]) == [1, BACKGROUND]


def test_boxes_left_out_are_ignored_and_without_ground_truth_all_are_background() -> None:
    assert match([[-1.0, 0.1]]) == [IGNORED, BACKGROUND]
    matches = match_boxes(
        torch.zeros(0, 3),
        positive_iou=0.7,
        negative_iou=0.3,
        min_positive_iou=0.3,
        match_low_quality=True,
    )
    assert matches.tolist() == [BACKGROUND] * 3


def test_matching_equals_a_loop(generator: torch.Generator) -> None:
    iou = (torch.rand(6, 400, generator=generator) * 20).round() / 20  # with many ties
    assert match(iou.tolist()) == slow_match(iou)


@pytest.mark.parametrize(
    ("num_positive", "num_negative", "expected"),
    [(100, 100, (4, 12)), (2, 100, (2, 14)), (100, 3, (4, 3)), (0, 0, (0, 0)), (0, 40, (0, 16))],
)
def test_sampling_fills_up_with_negatives(
    num_positive: int, num_negative: int, expected: tuple[int, int]
) -> None:
    matches = torch.tensor([3] * num_positive + [BACKGROUND] * num_negative + [IGNORED] * 5)
    positive, negative = sample_matches(matches, num_samples=16, positive_fraction=0.25)
    assert (int(positive.sum()), int(negative.sum())) == expected
    assert (matches[positive] >= 0).all()
    assert (matches[negative] == BACKGROUND).all()


def test_sampling_draws_each_candidate_equally_often() -> None:
    matches = torch.zeros(8, dtype=torch.int64)
    draws = [sample_matches(matches, num_samples=4, positive_fraction=0.5)[0] for _ in range(2000)]
    shares = torch.stack(draws).float().mean(0)
    # Standard deviation of a share of 1/4 in 2000 draws: 0.01.
    torch.testing.assert_close(shares, torch.full((8,), 0.25), atol=0.05, rtol=0)


def test_every_image_of_a_step_draws_the_same_and_each_step_something_else() -> None:
    def draw(num_images: int) -> list[list[float]]:
        device = torch.device("cpu")
        return [torch.rand(3, generator=g).tolist() for g in image_generators(num_images, device)]

    torch.manual_seed(3)
    (first,), (second,) = draw(1), draw(1)
    torch.manual_seed(3)
    assert draw(4) == [first] * 4
    assert draw(2) == [second] * 2
    assert first != second


def test_what_is_sampled_follows_the_generator_alone() -> None:
    matches = torch.tensor([0, BACKGROUND] * 40)
    (one, other), limits = image_generators(2, matches.device), {"num_samples": 20}
    first = sample_matches(matches, positive_fraction=0.5, generator=one, **limits)
    torch.rand(5)
    second = sample_matches(matches, positive_fraction=0.5, generator=other, **limits)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    later = sample_matches(matches, positive_fraction=0.5, generator=one, **limits)
    assert not torch.equal(first[0], later[0])


def test_without_a_number_everything_is_kept() -> None:
    matches = torch.tensor([0, 1, BACKGROUND, IGNORED])
    positive, negative = sample_matches(matches, num_samples=None, positive_fraction=0.5)
    assert positive.tolist() == [True, True, False, False]
    assert negative.tolist() == [False, False, True, False]


def test_ground_truth_boxes_are_positives_and_come_first() -> None:
    sample = rois([[0, 0, 10, 10], [50, 50, 60, 60]], [[0, 0, 10, 9]], num_samples=None)
    assert sample.boxes.tolist() == [[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]]
    assert sample.labels.tolist() == [0, 0, 5]
    assert sample.matched_gt_indices.tolist() == [0, 0]
    assert sample.is_gt.tolist() == [True, False, False]
    assert sample.num_positive == 2


def test_ground_truth_without_area_is_not_trained_on() -> None:
    sample = rois([[0, 0, 10, 10]], [[4.0, 4, 4, 9]])
    assert sample.labels.tolist() == [5]
    assert sample.num_positive == 0


def test_no_ground_truth_or_no_proposals_or_neither() -> None:
    assert rois([[0.0, 0, 9, 9]], []).labels.tolist() == [5]
    assert rois([], [[0.0, 0, 9, 9]]).labels.tolist() == [0]
    empty = rois([], [])
    assert empty.boxes.shape == (0, 4)
    assert empty.labels.dtype == torch.int64
