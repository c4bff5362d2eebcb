"""Top-1 and top-5 accuracy against hand-worked numbers."""

import numpy as np
import pytest
import torch

from swin_dense.datasets.metrics.classification_eval import ClassificationEvaluator, top_labels


def _scores(*order: int, num_classes: int = 7) -> torch.Tensor:
    """Scores whose order is the given one."""
    scores = torch.zeros(num_classes)
    for place, label in enumerate(order):
        scores[label] = 1 - 0.1 * place
    return scores


def test_scores_of_hand_worked_images() -> None:
    evaluator = ClassificationEvaluator(7)
    found = evaluator.update(
        [_scores(0, 1), _scores(1, 0), _scores(2, 3, 4, 5, 6, 1), _scores(6, 5, 4, 3, 1)],
        [0, 0, 1, 1],
    )
    assert found == pytest.approx([1.0, 0.9, 0.5, 0.6])
    scores = evaluator.compute()
    assert (scores["top1"], scores["top5"]) == (0.25, 0.75)
    assert scores["top1_classes"] == [0.5, 0.0, None, None, None, None, None]
    assert scores["top5_classes"] == [1.0, 0.5, None, None, None, None, None]
    assert scores["mean_top1"] == 0.25
    assert scores["images"] == [2, 2, 0, 0, 0, 0, 0]


def test_confusions_are_of_some_classes_and_all_others() -> None:
    evaluator = ClassificationEvaluator(7)
    orders = [(0,), (1,), (1,), (4,)]
    evaluator.update([_scores(*order) for order in orders], [0, 0, 5, 4])
    assert evaluator.matrix([0, 1]).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert evaluator.most_confused(2) == [0, 1]
    assert evaluator.most_confused(9) == [0, 1, 5]


def test_parts_add_up_to_the_whole(generator: torch.Generator) -> None:
    scores = list(torch.rand(9, 7, generator=generator))
    labels = [0, 1, 2, 3, 4, 5, 6, 0, 1]
    whole = ClassificationEvaluator(7)
    whole.update(scores, labels)
    joined = ClassificationEvaluator(7)
    for part in (slice(0, 4), slice(4, 9)):
        evaluator = ClassificationEvaluator(7)
        evaluator.update(scores[part], labels[part])
        joined.merge(evaluator.counts, evaluator.confusions)
    assert joined.compute() == whole.compute()
    assert np.array_equal(joined.matrix(range(7)), whole.matrix(range(7)))


def test_fewer_than_five_classes_are_always_right_at_top_5() -> None:
    evaluator = ClassificationEvaluator(3)
    evaluator.update([torch.tensor([0.2, 0.5, 0.3])], [0])
    assert evaluator.compute()["top5"] == 1.0


def test_equal_scores_count_in_the_order_of_the_labels() -> None:
    assert top_labels(torch.tensor([0.3, 0.4, 0.4, 0.3]), 3) == [1, 2, 0]


def test_no_image_has_no_score() -> None:
    scores = ClassificationEvaluator(2).compute()
    assert (scores["top1"], scores["mean_top1"]) == (None, None)


def test_scores_and_labels_that_do_not_fit_are_refused() -> None:
    evaluator = ClassificationEvaluator(2)
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.1, got 2"):
        evaluator.update([torch.zeros(2)], [2])
    with pytest.raises(ValueError, match=r"scores must be \(2,\), got \(3,\)"):
        evaluator.update([torch.zeros(3)], [1])
    with pytest.raises(ValueError, match="must be one an image, got 0 and 1"):
        evaluator.update([], [1])
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        ClassificationEvaluator(0)
