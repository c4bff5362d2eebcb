"""Tests of COCO's metrics against published and independently computed numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_writer import annotation, coco_content, write_coco

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.masks import compress_bitmaps
from swin_dense.datasets.metrics.coco_eval import METRIC_NAMES, CocoEvaluator
from swin_dense.datasets.transforms.detection import detection_eval


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_coco(tmp_path, coco_content())


def _result(
    boxes: list[list[float]], labels: list[int], *, scores: list[float] | None = None
) -> dict[str, torch.Tensor]:
    """A detector's result whose masks are its boxes."""
    masks = torch.zeros(len(boxes), 40, 60, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores or [0.9] * len(boxes)),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
    }


PERFECT = (
    _result([[10, 5, 30, 20], [30, 20, 40, 30]], [1, 0]),
    _result([[0, 0, 30, 30]], [0]),
)
NO_DETECTIONS = _result([], [])


def test_perfect_detections_score_one(truth: Path) -> None:
    evaluator = CocoEvaluator(truth)
    evaluator.update([5, 9], PERFECT)
    scores = evaluator.compute()
    for kind in ("bbox", "segm"):
        assert list(scores[kind]) == list(METRIC_NAMES)
        assert scores[kind]["AP"] == pytest.approx(1)
        assert scores[kind]["AR100"] == pytest.approx(1)
        assert scores[kind]["APl"] == -1  # no object is large
        assert scores["per_class"][kind] == pytest.approx({"cat": 1, "dog": 1})


def test_images_without_detections_count_as_missed(truth: Path) -> None:
    evaluator = CocoEvaluator(truth)
    evaluator.update([5, 9], [PERFECT[0], NO_DETECTIONS])
    scores = evaluator.compute()
    # Of two cats one is found: precision 1 up to recall 1/2, 51 of 101 points.
    assert scores["per_class"]["bbox"] == pytest.approx({"cat": 51 / 101, "dog": 1})
    assert scores["bbox"]["AP"] == pytest.approx((51 / 101 + 1) / 2)


@pytest.mark.parametrize("updated", [True, False])
def test_no_detections_score_zero(truth: Path, updated: bool) -> None:
    evaluator = CocoEvaluator(truth)
    if updated:
        evaluator.update([5, 9], [NO_DETECTIONS, NO_DETECTIONS])
    scores = evaluator.compute()
    assert scores["bbox"]["AP"] == scores["segm"]["AP"] == 0
    assert scores["bbox"]["APl"] == -1


def test_no_objects_score_minus_one(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = []
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5, 9], PERFECT)
    scores = evaluator.compute()
    assert set(scores["bbox"].values()) == set(scores["segm"].values()) == {-1}
    assert scores["per_class"]["segm"] == {"cat": -1, "dog": -1}


def test_nothing_is_printed(truth: Path, capfd: pytest.CaptureFixture[str]) -> None:
    evaluator = CocoEvaluator(truth)
    evaluator.update([5, 9], PERFECT)
    evaluator.compute()
    assert capfd.readouterr() == ("", "")


def test_annotation_id_zero_counts_like_any_other(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["id"] = 0
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5, 9], PERFECT)
    assert evaluator.compute()["bbox"]["AP"] == pytest.approx(1)


def test_detections_within_a_crowd_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    content = coco_content()
    runs = {"size": [40, 60], "counts": [0, 2400]}
    crowd = annotation(50, image_id=9, category_id=7, box=[0, 0, 60, 40], iscrowd=1)
    content["annotations"].append({**crowd, "segmentation": runs})
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5, 9], [PERFECT[0], _result([[0, 0, 30, 30], [5, 5, 9, 9]], [0, 1])])
    scores = evaluator.compute()
    assert scores["bbox"]["AP"] == pytest.approx(1)
    assert scores["segm"]["AP"] == pytest.approx(1)


def test_objects_without_a_mask_count_for_boxes_alone(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["segmentation"] = [[1, 2, 3, 4]]
    del content["annotations"][1]["area"], content["annotations"][1]["iscrowd"]
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5, 9], PERFECT)
    scores = evaluator.compute()
    assert scores["per_class"]["bbox"] == pytest.approx({"cat": 1, "dog": 1})
    assert scores["per_class"]["segm"] == pytest.approx({"cat": 1, "dog": -1})


def test_detections_of_objects_whose_mask_is_not_known_are_neither_right_nor_wrong(
    tmp_path: Path,
) -> None:
    content = coco_content()
    del content["annotations"][0]["segmentation"]
    known = annotation(14, image_id=9, category_id=7, box=[32, 0, 20, 20])
    content["annotations"].append(known)
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    both = _result([[0, 0, 30, 30], [32, 0, 52, 20]], [0, 1])
    both["scores"] = both["scores"] / 2  # that without a mask comes first
    evaluator.update([5, 9], [PERFECT[0], both])
    scores = evaluator.compute()
    assert scores["per_class"]["segm"] == pytest.approx({"cat": 1, "dog": 1})
    assert scores["bbox"]["AR100"] == pytest.approx(1)


def test_metrics_of_boxes_can_be_had_alone(tmp_path: Path) -> None:
    content = coco_content()
    crowd = annotation(50, image_id=9, category_id=7, box=[0, 0, 60, 40], iscrowd=1)
    for entry in content["annotations"]:
        entry["segmentation"] = []
    content["annotations"].append(crowd)
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5, 9], PERFECT)
    assert not evaluator.has_masks
    scores = evaluator.compute(["bbox"])
    assert scores["bbox"] == evaluator.compute()["bbox"]
    assert scores.keys() == {"bbox", "per_class"}
    assert scores["per_class"].keys() == evaluator.precision_recall(["bbox"]).keys() == {"bbox"}
    assert set(evaluator.compute()["segm"].values()) == {-1.0}


def test_labels_go_through_the_models_own_ids(truth: Path) -> None:
    evaluator = CocoEvaluator(truth, category_ids=(7, 3))
    evaluator.update([9], [_result([[0, 0, 30, 30]], [1])])
    assert evaluator.detections[0]["category_id"] == 3
    with pytest.raises(ValueError, match=r"must be ids of .*, got \[1\]"):
        CocoEvaluator(truth, category_ids=(1, 3))


def test_a_data_set_can_be_the_truth(truth: Path) -> None:
    dataset = CocoDetection(truth.parents[1], "val2017", transforms=detection_eval((1333, 800)))
    evaluator = CocoEvaluator(dataset)
    evaluator.update(dataset.image_ids, PERFECT)
    assert evaluator.compute()["segm"]["AP"] == pytest.approx(1)


def test_masks_may_come_compressed_or_not_at_all(truth: Path) -> None:
    compressed = {**PERFECT[1], "masks": compress_bitmaps(PERFECT[1]["masks"].numpy())}
    boxes_only = {key: value for key, value in PERFECT[1].items() if key != "masks"}
    found = []
    for result in (PERFECT[1], compressed, boxes_only):
        evaluator = CocoEvaluator(truth)
        evaluator.update([9], [result])
        found.append(evaluator.detections)
    assert found[0] == found[1]
    assert "segmentation" not in found[2][0]


def test_written_results_score_the_same(truth: Path, tmp_path: Path) -> None:
    evaluator = CocoEvaluator(truth)
    results = [_result([[11, 5, 30, 21], [0, 0, 5, 5]], [1, 1], scores=[0.5, 0.75]), PERFECT[1]]
    evaluator.update([5, 9], results)
    evaluator.write_results(tmp_path / "results.json")
    again = CocoEvaluator(truth)
    again.add_detections(json.loads((tmp_path / "results.json").read_text()))
    assert again.compute() == evaluator.compute()
    assert again.detections[0]["bbox"] == [11, 5, 19, 16]
    assert not list(tmp_path.glob("*.partial"))


def test_several_processes_score_as_one(truth: Path) -> None:
    whole, first, second = (CocoEvaluator(truth) for _ in range(3))
    whole.update([5, 9], PERFECT)
    first.update([5], PERFECT[:1])
    second.update([9], PERFECT[1:])
    first.merge(second.detections, second.seen)
    assert first.compute() == whole.compute()
    assert first.seen == {5, 9}
    with pytest.raises(ValueError, match=r"given twice: \[9\] \(1 in all\)"):
        first.merge(second.detections, second.seen)


@pytest.mark.parametrize(
    ("image_id", "result", "message"),
    [
        (6, NO_DETECTIONS, "image 6 is not in"),
        (5, _result([[0, 0, 9, 9]], [2]), r"labels must be in 0\.\.1, got 2 to 2 \(image 5\)"),
        (5, {**NO_DETECTIONS, "scores": torch.ones(1)}, r"as many, got \[0, 1\] \(image 5\)"),
        (5, {**NO_DETECTIONS, "masks": torch.zeros(0, 60, 40)}, r"\(40, 60\), got \(60, 40\)"),
    ],
)
def test_results_that_do_not_fit_are_refused(
    truth: Path, image_id: int, result: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CocoEvaluator(truth).update([image_id], [result])


def test_an_image_given_twice_is_refused(truth: Path) -> None:
    evaluator = CocoEvaluator(truth)
    evaluator.update([5], [NO_DETECTIONS])
    with pytest.raises(ValueError, match="image 5 was given twice"):
        evaluator.update([5], [NO_DETECTIONS])
    with pytest.raises(ValueError, match="2 image ids and 1 results"):
        evaluator.update([5, 9], [NO_DETECTIONS])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 6}, "one of its images, got image_id 6"),
        ({"category_id": 1}, "one of its categories, got category_id 1"),
        ({"score": float("nan")}, "finite score, got nan"),
        ({"score": None}, "finite score"),
        ({"bbox": [1, 2, 3]}, "four finite numbers"),
        ({"bbox": None}, "four finite numbers"),
        ({"segmentation": {"size": [40, 60], "counts": "PPP"}}, "cannot be decompressed"),
        ({"segmentation": {"size": [4, 6], "counts": "h0"}}, "not of their image's size"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "not of their image's size"),
    ],
)
def test_odd_entries_of_a_results_file_are_named(
    truth: Path, change: dict[str, Any], message: str
) -> None:
    entry = {"image_id": 5, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}
    with pytest.raises(ValueError, match=message) as caught:
        CocoEvaluator(truth).add_detections([entry, {**entry, **change}])
    assert "detection #1 for" in str(caught.value)
    with pytest.raises(ValueError, match="bbox or segmentation, got neither"):
        CocoEvaluator(truth).add_detections([{"image_id": 5, "category_id": 3, "score": 0.5}])


def test_curves_are_those_behind_the_average_precision(truth: Path) -> None:
    evaluator = CocoEvaluator(truth)
    # One of the two cats is found, the dog is not.
    evaluator.update([5, 9], [_result([[30, 20, 40, 30]], [0]), NO_DETECTIONS])
    curves = evaluator.precision_recall()
    assert list(curves) == ["bbox", "segm"]
    for kind, curve in curves.items():
        assert curve.recall.dtype == curve.precision.dtype == np.float64
        assert curve.recall == pytest.approx(np.arange(101) / 100)
        assert curve.precision.shape == (10, 101, 2)
        assert curve.precision[:, :51, 0] == pytest.approx(1)  # one cat of two
        assert (curve.precision[:, 51:, 0] == 0).all()
        assert (curve.precision[..., 1] == 0).all()
        assert evaluator.compute()[kind]["AP"] == pytest.approx(curve.precision.mean())


def test_curves_of_a_class_without_objects_are_minus_one(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 7]
    evaluator = CocoEvaluator(write_coco(tmp_path, content))
    evaluator.update([5], PERFECT[:1])
    precision = evaluator.precision_recall()["bbox"].precision
    assert (precision[..., 0] == -1).all()  # cats
    assert precision[..., 1] == pytest.approx(1)  # the dog


def test_curves_follow_when_there_are_more_detections(truth: Path) -> None:
    evaluator = CocoEvaluator(truth)
    assert evaluator.precision_recall()["bbox"].precision.max() == 0
    evaluator.update([5], PERFECT[:1])
    assert evaluator.precision_recall()["bbox"].precision.max() == pytest.approx(1)


@pytest.mark.parametrize("model", ["det_mmdet_mask_rcnn", "det_official_cascade"])
def test_metrics_of_another_frameworks_detections_are_reproduced(shared: Path, model: str) -> None:
    folder = shared / "golden" / model
    expected = json.loads((folder / "metrics.json").read_text())["pycocotools_stats"]
    evaluator = CocoEvaluator(folder / "data" / "annotations" / "instances_train2017.json")
    evaluator.add_detections(json.loads((folder / "results.segm.json").read_text()))
    scores = evaluator.compute()
    for kind in ("bbox", "segm"):
        assert list(scores[kind].values()) == pytest.approx(expected[kind], abs=1e-12)


def test_real_annotations_as_detections_score_one(shared: Path) -> None:
    root = shared / "data" / "coco_mini"
    dataset = CocoDetection(root, "val2017", transforms=detection_eval((1333, 800)))
    evaluator = CocoEvaluator(dataset)
    for index, image_id in enumerate(dataset.image_ids):
        instances = dataset.load_instances(index)
        result = {
            "boxes": torch.from_numpy(instances.boxes),
            "labels": torch.from_numpy(instances.labels),
            "scores": torch.full((len(instances.labels),), 0.5),
            "masks": instances.masks(dataset.sizes[index]),
        }
        evaluator.update([image_id], [result])
    scores = evaluator.compute()
    assert scores["bbox"]["AP"] == pytest.approx(1)
    # The data set keeps polygons in float32: a point on the border of two pixels may round apart.
    assert scores["segm"]["AP"] == pytest.approx(1, abs=1e-3)
    assert np.mean(list(scores["per_class"]["segm"].values())) == pytest.approx(1, abs=1e-3)
