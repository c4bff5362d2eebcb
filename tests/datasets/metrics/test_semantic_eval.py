"""Segmentation scores against counting by hand and by loops."""

import pytest
import torch

from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator


def evaluate(predictions, label_maps, num_classes):
    evaluator = SemanticEvaluator(num_classes)
    evaluator.update(predictions, label_maps)
    return evaluator.compute()


def test_scores_by_hand():
    labels = torch.tensor([[0, 0, 1, 255], [1, 1, 2, 255]])
    found = torch.tensor([[0, 1, 1, 0], [1, 0, 2, 2]])
    scores = evaluate([found], [labels], 4)
    assert scores["area_label"] == [2, 3, 1, 0]
    assert scores["area_pred"] == [2, 3, 1, 0]
    assert scores["area_intersect"] == [1, 2, 1, 0]
    assert scores["area_union"] == [3, 4, 1, 0]
    assert scores["IoU"] == [1 / 3, 2 / 4, 1.0, None]
    assert scores["mIoU"] == pytest.approx((1 / 3 + 2 / 4 + 1) / 3)
    assert scores["mAcc"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert scores["aAcc"] == 4 / 6


def test_a_class_that_is_only_predicted_counts_for_iou_but_not_for_accuracy():
    scores = evaluate([torch.tensor([[0, 1]])], [torch.tensor([[0, 0]])], 3)
    assert scores["IoU"] == [0.5, 0.0, None]
    assert scores["mIoU"] == 0.25
    assert scores["mAcc"] == 0.5


def test_counts_equal_a_loop_over_pixels(generator):
    labels = torch.randint(0, 6, (3, 7, 9), generator=generator)
    labels[labels == 5] = 255
    found = torch.randint(0, 5, (3, 7, 9), generator=generator)
    evaluator = SemanticEvaluator(5)
    evaluator.update(list(found), list(labels.to(torch.uint8)))
    expected = torch.zeros(5, 5, dtype=torch.int64)
    for label, pred in zip(labels.flatten().tolist(), found.flatten().tolist(), strict=True):
        if label != 255:
            expected[label, pred] += 1
    assert torch.equal(evaluator.matrix, expected)


def test_merged_parts_equal_the_whole(generator):
    labels = list(torch.randint(0, 4, (6, 5, 5), generator=generator))
    found = list(torch.randint(0, 4, (6, 5, 5), generator=generator))
    whole, first, second = (SemanticEvaluator(4) for _ in range(3))
    whole.update(found, labels)
    first.update(found[:2], labels[:2])
    second.update(found[2:], labels[2:])
    first.merge(second.matrix)
    assert first.compute() == whole.compute()


def test_without_images_there_are_no_scores():
    empty = [torch.zeros(0, 4, dtype=torch.int64)]
    ignored = [torch.full((2, 2), 255)]
    for predictions, labels in ([], []), (empty, empty), ([torch.zeros(2, 2)], ignored):
        scores = evaluate(predictions, labels, 2)
        assert (scores["mIoU"], scores["mAcc"], scores["aAcc"]) == (None, None, None)
        assert scores["IoU"] == [None, None]


@pytest.mark.parametrize(
    ("found", "labels", "message"),
    [
        ([[0, 1]], [[0]], r"prediction and label map 0 must have one size, got \(1, 2\) and"),
        ([[3]], [[0]], r"predictions of image 0 must be in 0..2, got 3..3"),
        ([[0]], [[3]], r"labels of image 0 must be in 0..2, got 3..3"),
        ([[0]], [[-1]], r"labels of image 0 must be in 0..2, got -1..-1"),
    ],
)
def test_values_out_of_range_are_refused(found, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate([torch.tensor(found)], [torch.tensor(labels)], 3)


def test_numbers_of_images_must_agree():
    with pytest.raises(ValueError, match="one per image, got 1 and 0"):
        evaluate([torch.zeros(1, 1)], [], 3)


def test_merging_other_classes_is_refused():
    with pytest.raises(ValueError, match=r"must be \(2, 2\) for 2 classes, got \(3, 3\)"):
        SemanticEvaluator(2).merge(SemanticEvaluator(3).matrix)


def test_each_image_has_a_score_of_its_own():
    evaluator = SemanticEvaluator(3)
    label_maps = [torch.tensor([[0, 0, 1, 255]]), torch.tensor([[255]]), torch.tensor([[2]])]
    predictions = [torch.tensor([[0, 1, 1, 2]]), torch.tensor([[1]]), torch.tensor([[2]])]
    # Image 0: class 0 has 1 of 2 px, class 1 has 1 of 2; class 2 is on an ignored pixel alone.
    assert evaluator.update(predictions, label_maps) == [0.5, None, 1.0]
