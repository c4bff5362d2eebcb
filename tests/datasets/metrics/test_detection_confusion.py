"""The detector's confusion matrix: hand-worked cases, and agreement with pycocotools."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_writer import annotation, coco_content, write_coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swin_dense.datasets.formats.coco_file import read_coco
from swin_dense.datasets.metrics.detection_confusion import (
    DetectionConfusion,
    ImageCounts,
    box_ious,
    count_confusions,
    match_greedily,
)

CAT, DOG, BACKGROUND = 0, 1, 2
LEFT, RIGHT = [0, 0, 10, 10], [50, 0, 10, 10]


def count(
    objects: list[tuple[list[float], int]],
    detections: list[tuple[list[float], int, float]],
    *,
    crowds: tuple[int, ...] = (),
    threshold: float = 0.3,
) -> tuple[dict[tuple[int, int], int], ImageCounts]:
    """Entries that are not 0, and the image's counts."""
    confusion = DetectionConfusion(2, score_threshold=threshold)
    counts = confusion.update(
        gt_boxes=np.array([box for box, _ in objects], float).reshape(-1, 4),
        gt_labels=np.array([label for _, label in objects], int),
        is_crowd=np.isin(np.arange(len(objects)), crowds),
        boxes=np.array([box for box, _, _ in detections], float).reshape(-1, 4),
        labels=np.array([label for _, label, _ in detections], int),
        scores=np.array([score for _, _, score in detections], float),
    )
    filled = zip(*np.nonzero(confusion.matrix), strict=True)
    return {(int(i), int(j)): int(confusion.matrix[i, j]) for i, j in filled}, counts


def test_a_right_detection_is_on_the_diagonal() -> None:
    cells, counts = count([(LEFT, DOG)], [(LEFT, DOG, 0.9)])
    assert cells == {(DOG, DOG): 1}
    assert counts.f1 == 1


def test_a_missed_object_and_a_false_detection_are_confused_with_background() -> None:
    cells, counts = count([(LEFT, CAT)], [(RIGHT, DOG, 0.9)])
    assert cells == {(CAT, BACKGROUND): 1, (BACKGROUND, DOG): 1}
    assert counts.f1 == 0


def test_an_object_detected_as_another_class_is_a_confusion() -> None:
    assert count([(LEFT, CAT)], [(LEFT, DOG, 0.9)])[0] == {(CAT, DOG): 1}


def test_the_right_class_comes_first_however_low_its_score() -> None:
    cells, counts = count([(LEFT, CAT)], [(LEFT, DOG, 0.9), (LEFT, CAT, 0.4)])
    assert cells == {(CAT, CAT): 1, (BACKGROUND, DOG): 1}
    assert counts == ImageCounts(num_matched=1, num_detections=2, num_objects=1)
    assert counts.f1 == pytest.approx(2 / 3)


def test_a_second_detection_of_an_object_is_of_background() -> None:
    cells, _ = count([(LEFT, CAT)], [(LEFT, CAT, 0.9), (LEFT, CAT, 0.8)])
    assert cells == {(CAT, CAT): 1, (BACKGROUND, CAT): 1}


def test_detections_below_the_threshold_are_not_there_and_on_it_they_are() -> None:
    assert count([(LEFT, CAT)], [(LEFT, CAT, 0.29)])[0] == {(CAT, BACKGROUND): 1}
    assert count([(LEFT, CAT)], [(LEFT, CAT, 0.3)])[0] == {(CAT, CAT): 1}


def test_crowds_ignore_what_lies_in_them_of_their_class_alone() -> None:
    crowd = [0, 0, 100, 100]
    cells, counts = count([(crowd, CAT)], [(LEFT, CAT, 0.9), (RIGHT, CAT, 0.8)], crowds=(0,))
    assert cells == {}
    assert counts.f1 is None
    assert count([(crowd, CAT)], [(LEFT, DOG, 0.9)], crowds=(0,))[0] == {(BACKGROUND, DOG): 1}


def test_an_image_without_objects_or_detections_leaves_the_matrix_empty() -> None:
    cells, counts = count([], [])
    assert cells == {}
    assert counts == ImageCounts(num_matched=0, num_detections=0, num_objects=0)


def test_the_better_detection_chooses_first_and_ties_go_to_the_last_object() -> None:
    no_crowd = np.zeros(2, bool)
    ious = np.array([[0.9, 0.8], [0.95, 0.3]])
    assert match_greedily(ious, no_crowd, threshold=0.5).tolist() == [0, -1]
    assert match_greedily(np.array([[0.7, 0.7]]), no_crowd, threshold=0.5).tolist() == [1]


def test_an_overlap_of_exactly_the_threshold_matches() -> None:
    ious = box_ious(np.array([[0, 0, 10, 5.0]]), np.array([[0, 0, 10, 10.0]]), np.array([False]))
    assert ious.tolist() == [[0.5]]
    assert match_greedily(ious, np.array([False]), threshold=0.5).tolist() == [0]


@pytest.mark.parametrize("changes", [{"num_classes": 0}, {"iou_threshold": 0.0}])
def test_numbers_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"num_classes": 2, "score_threshold": 0.3} | changes
    with pytest.raises(ValueError, match=next(iter(changes))):
        DetectionConfusion(**arguments)


def random_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Crowded images of three classes; detections are shaken objects with some wrong labels."""
    random = np.random.default_rng(seed)
    content = coco_content()
    content["categories"].append({"id": 1, "name": "cow"})
    content["images"] = [
        {"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in range(8)
    ]
    content["annotations"], detections = [], []
    for image_id in range(8):
        for _ in range(random.integers(0, 12)):
            box = [*random.integers(0, 25, 2).tolist(), *random.integers(4, 15, 2).tolist()]
            entry = annotation(
                len(content["annotations"]) + 1,
                image_id=image_id,
                category_id=int(random.choice([1, 3, 7])),
                box=box,
            )
            if random.random() < 0.15:
                runs = {"size": [40, 60], "counts": [0, 2400]}
                entry |= {"iscrowd": 1, "segmentation": runs}
            content["annotations"].append(entry)
            for _ in range(random.integers(0, 4)):
                is_right = random.random() < 0.7
                detections.append(
                    {
                        "image_id": image_id,
                        "category_id": entry["category_id"] if is_right else 3,
                        "bbox": (np.array(box) + random.integers(-2, 3, 4)).tolist(),
                        # few different scores, so that many are equal
                        "score": float(random.integers(0, 11)) / 10,
                    }
                )
    return content, detections


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_precision_and_recall_are_pycocotools(seed: int, threshold: float, tmp_path: Path) -> None:
    content, detections = random_case(seed)
    path = write_coco(tmp_path, content)
    truth_file = read_coco(path)
    confusion, counts = count_confusions(truth_file, detections, score_threshold=threshold)
    matrix = confusion.matrix
    assert matrix[:3].sum() == sum(image.num_objects for image in counts.values())
    assert np.trace(matrix) == sum(image.num_matched for image in counts.values())
    assert matrix[:, :3].sum() == sum(image.num_detections for image in counts.values())

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    whole_range = evaluation.params.areaRng[0]
    recall = evaluation.eval["recall"][0, :, 0, -1]  # (K,) at IoU 0.5, of all detections
    for place, category_id in enumerate(evaluation.params.catIds):
        images = [
            image
            for image in evaluation.evalImgs
            if image and image["category_id"] == category_id and image["aRng"] == whole_range
        ]
        scores = np.concatenate([image["dtScores"] for image in images])
        counted = ~np.concatenate([image["dtIgnore"][0] for image in images])
        counted &= scores >= threshold
        right = counted & (np.concatenate([image["dtMatches"][0] for image in images]) > 0)
        assert matrix[place, place] == right.sum()
        assert matrix[:, place].sum() == counted.sum()
        assert matrix[place].sum() == sum(
            (~image["gtIgnore"].astype(bool)).sum() for image in images
        )
        if threshold == 0:
            assert matrix[place, place] / matrix[place].sum() == pytest.approx(recall[place])
    off_diagonal = matrix[:3, :3].sum() - np.trace(matrix)
    assert off_diagonal > 0


@pytest.mark.parametrize("seed", range(4))
def test_counts_from_a_threshold_are_those_of_a_matrix_at_that_threshold(
    seed: int, tmp_path: Path
) -> None:
    content, detections = random_case(seed)
    truth = read_coco(write_coco(tmp_path, content))
    thresholds = np.array([0.0, 0.05, 0.3, 0.7, 1.0])
    confusion, _ = count_confusions(truth, detections, score_threshold=0.5)
    counted = confusion.count_from(thresholds)
    for place, threshold in enumerate(thresholds):
        alone, _ = count_confusions(truth, detections, score_threshold=float(threshold))
        assert counted.num_right[place] == np.trace(alone.matrix)
        assert counted.num_found[place] == alone.matrix[:, :3].sum()
        assert counted.num_objects == alone.matrix[:3].sum()


def test_nothing_to_count_is_zero_at_every_threshold() -> None:
    counted = DetectionConfusion(2, score_threshold=0.3).count_from(np.array([0.1, 0.5]))
    assert counted.num_right.tolist() == counted.num_found.tolist() == [0, 0]
    assert counted.num_objects == 0


def test_no_more_than_100_detections_of_a_class_count() -> None:
    detections = [(RIGHT, CAT, 0.9)] * 100 + [(LEFT, CAT, 0.8), (LEFT, DOG, 0.8)]
    cells, _ = count([(LEFT, CAT)], detections)
    assert cells == {(BACKGROUND, CAT): 100, (CAT, DOG): 1}
