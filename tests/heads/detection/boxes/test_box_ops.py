"""Box geometry against hand-worked numbers and plainly right loops."""

import math

import pytest
import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import (
    DELTA_LIMIT,
    aligned_giou,
    batched_nms,
    box_areas,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    is_nonempty,
    pairwise_iou,
    topk_in_order,
)

STDS = (0.1, 0.1, 0.2, 0.2)


def random_boxes(num: int, generator: torch.Generator) -> Tensor:
    """Boxes of 1 to 51 px a side in a frame of about 150 px."""
    corners = torch.rand(num, 2, generator=generator) * 100
    sizes = torch.rand(num, 2, generator=generator) * 50 + 1
    return torch.cat([corners, corners + sizes], dim=1)


def slow_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> list[int]:
    """Keep the best box, drop its rivals, go on with the rest."""
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        rivals = [j for j in kept if groups[j] == groups[i]]
        if all(float(pairwise_iou(boxes[[i]], boxes[[j]])) <= iou_threshold for j in rivals):
            kept.append(i)
    return kept


def test_iou_of_half_overlapping_squares_is_a_third() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    expected = torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(pairwise_iou(boxes, boxes), expected)


def test_iou_without_area_or_without_boxes_is_zero_or_empty() -> None:
    flat = torch.tensor([[1.0, 1, 1, 5]])
    assert pairwise_iou(flat, flat).item() == 0
    assert pairwise_iou(torch.zeros(0, 4), flat).shape == (0, 1)


def test_giou_of_apart_boxes_is_minus_the_empty_share_of_their_hull() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2]])
    others = torch.tensor([[3.0, 0, 4, 1], [0, 0, 2, 2]])
    torch.testing.assert_close(aligned_giou(boxes, others), torch.tensor([-0.5, 1.0]))


def test_areas_and_which_boxes_have_one() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 3], [1, 1, 1, 4], [3, 3, 2, 4]])
    assert box_areas(boxes)[:2].tolist() == [6, 0]
    assert is_nonempty(boxes).tolist() == [True, False, False]


def test_encoding_a_shifted_and_doubled_box_by_hand() -> None:
    box, target = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[0.0, 10, 20, 30]])
    expected = torch.tensor([[0.5 / 0.1, 0.5 / 0.1, math.log(2) / 0.2, 0.0]])
    torch.testing.assert_close(encode_boxes(box, target, stds=STDS), expected)


def test_decoding_undoes_encoding(generator: torch.Generator) -> None:
    boxes, targets = random_boxes(50, generator), random_boxes(50, generator)
    decoded = decode_boxes(boxes, encode_boxes(boxes, targets, stds=STDS), stds=STDS)
    torch.testing.assert_close(decoded, targets, atol=1e-3, rtol=0)


def test_decoding_bounds_growth_and_shrinking_alike() -> None:
    box = torch.tensor([[0.0, 0, 16, 16]])
    huge = decode_boxes(box, torch.tensor([[0.0, 0, 99, -99]]), stds=(1, 1, 1, 1))
    width, height = (huge[:, 2:] - huge[:, :2])[0].tolist()
    assert width == pytest.approx(16 * math.exp(DELTA_LIMIT), rel=1e-5)
    assert height == pytest.approx(16 * math.exp(-DELTA_LIMIT), rel=1e-3)


def test_clipping_keeps_boxes_inside_height_and_width() -> None:
    boxes = torch.tensor([[-5.0, -5, 50, 50], [60, 60, 70, 70]])
    assert clip_boxes(boxes, (20, 30)).tolist() == [[0, 0, 30, 20], [30, 20, 30, 20]]


@pytest.mark.parametrize("num", [0, 1, 200])
def test_nms_equals_a_loop_over_boxes(num: int, generator: torch.Generator) -> None:
    boxes = random_boxes(num, generator)
    scores = torch.rand(num, generator=generator)
    groups = torch.randint(0, 3, (num,), generator=generator)
    kept = batched_nms(boxes, scores, groups, iou_threshold=0.3)
    assert kept.dtype == torch.int64
    assert kept.tolist() == slow_nms(boxes, scores, groups, 0.3)


def test_nms_of_very_many_boxes_gives_what_it_gives_in_one_piece(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, scores = random_boxes(300, generator), torch.rand(300, generator=generator)
    groups = torch.randint(0, 5, (300,), generator=generator)
    expected = batched_nms(boxes, scores, groups, iou_threshold=0.3)
    monkeypatch.setattr("swin_dense.heads.detection.boxes.box_ops.MAX_JOINT_NMS", 100)
    assert batched_nms(boxes, scores, groups, iou_threshold=0.3).tolist() == expected.tolist()


def test_nms_leaves_equal_boxes_of_different_groups() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9]]).repeat(3, 1)
    kept = batched_nms(
        boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 1, 0]), iou_threshold=0.5
    )
    assert kept.tolist() == [1, 2]


@pytest.mark.parametrize("k", [1, 7, 400])
def test_of_equal_scores_the_first_are_the_best(k: int, generator: torch.Generator) -> None:
    for scale in (1.0, 1e-3, 20.0):
        scores = scale * torch.randint(-3, 4, (2, 400), generator=generator).float()
        best, indices = topk_in_order(scores, k)
        expected = scores.sort(descending=True, stable=True)
        assert torch.equal(best, expected.values[:, :k])
        assert torch.equal(indices, expected.indices[:, :k])


def test_scores_that_hardly_differ_keep_their_order_however_many_there_are() -> None:
    scores = torch.full((2**18,), 0.7)
    scores[-1] = torch.nextafter(scores[-1], torch.tensor(1.0))
    assert topk_in_order(scores, 3)[1].tolist() == [2**18 - 1, 0, 1]
    assert topk_in_order(-scores, 2)[1].tolist() == [0, 1]
