"""Scores of segmentation worked by hand, and label maps packed without loss."""

import numpy as np
import pytest
import torch

from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator
from swin_dense.tools.tasks.scores import ScoredImage
from swin_dense.tools.tasks.segmentation_scores import (
    pack_labels,
    score_label_maps,
    segmentation_score_table,
    unpack_labels,
)


def test_scores_and_their_matrix_agree() -> None:
    evaluator = SemanticEvaluator(3)
    truth = torch.tensor([[0, 0, 1, 255]])
    found = torch.tensor([[0, 1, 1, 0]])
    evaluator.update([found], [truth])
    evaluation = score_label_maps(
        evaluator,
        ("sky", "road", "tree"),
        [ScoredImage(0, "a", 0.5)],
        lambda _: np.zeros((4, 4, 3), np.uint8),
        colours=np.array([[0, 0, 255], [128, 128, 128], [0, 128, 0]], np.uint8),
    )
    assert evaluation.classes.colours == ("#0000ff", "#808080", "#008000")
    assert evaluation.thresholds is None
    assert evaluation.confusion.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert evaluation.classes.scores["IoU"] == [0.5, 0.5, None]
    assert evaluation.classes.scores["accuracy"] == [0.5, 1.0, None]
    assert evaluation.headline == pytest.approx({"mIoU": 0.5, "mAcc": 0.75, "aAcc": 2 / 3})
    assert evaluation.curves == {}
    means, classes = (
        [list(column.cells) for column in table.columns] for table in evaluation.tables
    )
    assert means == [["mIoU", "mAcc", "aAcc"], ["50.0", "75.0", "66.7"]]
    assert classes[1] == ["50.0", "50.0", "\N{EN DASH}"]
    assert segmentation_score_table(evaluation.metrics).by_name == evaluation.headline


def test_packed_labels_come_back(generator: torch.Generator) -> None:
    labels = torch.randint(0, 256, (5, 7), generator=generator)
    assert torch.equal(unpack_labels(pack_labels(labels)), labels.to(torch.uint8))
