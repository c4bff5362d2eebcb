"""Scores of detection: what an evaluation of a perfect and of an empty result gives."""

from typing import Any

import numpy as np
import pytest
import torch

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.masks import decompress
from swin_dense.datasets.metrics.coco_eval import CocoEvaluator
from swin_dense.datasets.shapes import write_shapes
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.tools.tasks.detection_scores import detection_score_name, score_detections


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CocoDetection:
    root = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(root, num_train=1, num_val=3, size=64, seed=0)
    return CocoDetection(root, "val2017", transforms=detection_eval((64, 64)))


def _score(dataset: CocoDetection, *, is_perfect: bool) -> Any:
    evaluator = CocoEvaluator(dataset)
    for index, image_id in enumerate(dataset.image_ids):
        truth, size = dataset.load_instances(index), (64, 64)
        count = len(truth.labels) if is_perfect else 0
        masks = torch.from_numpy(decompress(truth.masks(size)))  # (G, H, W)
        result = {
            "boxes": torch.from_numpy(truth.boxes),
            "labels": torch.from_numpy(truth.labels),
            "scores": torch.full((len(truth.labels),), 0.905),
            "masks": masks,
        }
        evaluator.update([image_id], [{name: value[:count] for name, value in result.items()}])
    return score_detections(evaluator, lambda _: np.zeros((4, 4, 3), np.uint8))


def test_what_is_found_exactly_scores_one(dataset: CocoDetection) -> None:
    evaluation = _score(dataset, is_perfect=True)
    assert evaluation.headline == {
        name: pytest.approx(1.0) for name in ("bbox/AP", "bbox/AP50", "segm/AP", "segm/AP50")
    }
    counts = evaluation.confusion.counts
    assert counts.trace() == counts.sum() > 3
    assert evaluation.classes.counts == counts[:-1].sum(axis=1).tolist()
    assert evaluation.confusion.names[-1] == "background"
    assert {image.score for image in evaluation.images.images} == {1.0}
    thresholds = evaluation.thresholds
    assert thresholds.f1[thresholds.best] == 1
    highest = thresholds.thresholds[thresholds.f1 > 0].max()
    assert 0.89 <= highest <= 0.9  # a score of 0.9 in float32 is a little less
    assert np.isnan(thresholds.precision[-1])
    assert thresholds.num_objects == counts.sum()
    assert all(curves.by_class.shape[1] == 101 for curves in evaluation.curves.values())
    name, boxes, *_ = evaluation.tables[0].columns
    assert (name.header, next(iter(name.cells)), next(iter(boxes.cells))) == (
        "percent",
        "AP",
        "100.0",
    )


def test_nothing_found_scores_zero_and_is_background(dataset: CocoDetection) -> None:
    evaluation = _score(dataset, is_perfect=False)
    assert set(evaluation.headline.values()) == {0.0}
    counts = evaluation.confusion.counts
    assert counts[:, -1].sum() == counts.sum() > 3
    absent = [count == 0 for count in evaluation.classes.counts]
    scores = evaluation.classes.scores["box AP"]
    assert [score is None for score in scores] == absent


def test_names_on_a_page() -> None:
    names = [detection_score_name(name) for name in ("bbox/AP50", "segm/AP", "mIoU")]
    assert names == ["box AP50", "mask AP", "mIoU"]
