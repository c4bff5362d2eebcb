"""Tests of panoptic quality: by hand, against a slow reference, against the official evaluator."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference import panoptic_counts

from swin_dense.datasets.metrics.panoptic_eval import (
    PanopticEvaluator,
    SegmentMap,
    count_image,
    image_quality,
)
from swin_dense.datasets.samples import Segment


def _map(rows: list[list[int]], *segments: Segment) -> SegmentMap:
    return SegmentMap(np.array(rows), segments)


def _random_map(random: np.random.Generator, *, is_gt: bool) -> SegmentMap:
    """Rectangles on void; the ground truth has crowds, and areas that are not its map's."""
    ids = np.zeros((7, 9), np.int64)
    for number in random.permutation(np.arange(1, 8)):
        top, left = random.integers(0, 6), random.integers(0, 8)
        ids[top : top + random.integers(1, 6), left : left + random.integers(1, 7)] = number * 1000
    segments = []
    for number, area in zip(*np.unique(ids, return_counts=True), strict=True):
        if number and (not is_gt or random.random() < 0.9):  # an id that is not listed
            is_crowd = bool(is_gt and random.random() < 0.3)
            stated = int(area) + int(random.integers(0, 2)) * is_gt
            segments.append(Segment(int(number), int(random.integers(3)), stated, is_crowd))
    return SegmentMap(ids, segments)


def test_hand_worked_scores() -> None:
    evaluator = PanopticEvaluator([True, False])
    gt = _map([[1, 1, 1, 0], [2, 2, 2, 2]], Segment(1, 0, 3), Segment(2, 1, 4))
    found = _map([[7, 7, 8, 7], [9, 9, 9, 9]], Segment(7, 0), Segment(8, 0), Segment(9, 1))
    counts = evaluator.update(gt, found)
    # Segment 7 has 2 of 3 px, its third is on void and does not count: IoU 2/3; 8 is wrong.
    assert [round(match.iou, 6) for match in counts.matches] == [0.666667, 1.0]
    assert (counts.missed, counts.wrong) == ([], [found.segments[1]])
    scores = evaluator.compute()
    assert scores["PQ_classes"] == pytest.approx([2 / 3 / 1.5, 1.0])
    assert scores["SQ_classes"] == pytest.approx([2 / 3, 1.0])
    assert scores["RQ_classes"] == pytest.approx([1 / 1.5, 1.0])
    assert scores["PQ"] == pytest.approx((4 / 9 + 1) / 2)
    assert (scores["PQ_things"], scores["PQ_stuff"]) == (pytest.approx(4 / 9), 1.0)
    assert (scores["TP"], scores["FP"]) == ([1, 1], [1, 0])
    assert image_quality(counts) == pytest.approx((2 / 3 + 1) / 2.5)


def test_an_iou_of_one_half_is_no_match() -> None:
    gt = _map([[1, 1]], Segment(1, 0, 2))
    counts = count_image(gt, _map([[5, 0]], Segment(5, 0)), num_classes=1)
    assert not counts.matches
    assert (counts.missed, counts.wrong) == ([gt.segments[0]], [Segment(5, 0)])


def test_crowds_are_neither_missed_nor_a_reason_to_be_wrong() -> None:
    gt = _map([[1, 1, 1, 2]], Segment(1, 0, 3, True), Segment(2, 1, 1))
    same, other = _map([[5, 5, 5, 5]], Segment(5, 0)), _map([[5, 5, 5, 5]], Segment(5, 1))
    assert count_image(gt, same, num_classes=2).wrong == []
    assert count_image(gt, other, num_classes=2).wrong == [Segment(5, 1)]
    assert count_image(gt, same, num_classes=2).missed == [gt.segments[1]]


def test_pairs_that_only_differ_in_class_are_confused() -> None:
    gt = _map([[1, 1, 2, 3]], Segment(1, 0, 2), Segment(2, 0, 1), Segment(3, 1, 1))
    found = _map([[5, 5, 6, 7]], Segment(5, 1), Segment(6, 0), Segment(7, 1))
    counts = count_image(gt, found, num_classes=2)
    assert counts.confused == [(1, 5)]
    assert (counts.missed, counts.wrong) == ([gt.segments[0]], [found.segments[0]])


def test_counts_are_the_slow_references() -> None:
    random = np.random.default_rng(0)
    kinds = {"matches": 0, "wrong": 0, "missed": 0}
    for _ in range(60):
        gt, found = _random_map(random, is_gt=True), _random_map(random, is_gt=False)
        if random.random() < 0.5:  # one that finds something
            found = SegmentMap(
                np.where(random.random(gt.ids.shape) < 0.15, 0, gt.ids),
                [Segment(s.id, s.label) for s in gt.segments],
            )
            listed = [s.id for s in found.segments if (found.ids == s.id).any()]
            found = SegmentMap(
                np.where(np.isin(found.ids, listed), found.ids, 0),
                [s for s in found.segments if s.id in listed],
            )
        counts = count_image(gt, found, num_classes=3)
        ious, wrong, missed = panoptic_counts(
            gt.ids.tolist(),
            {s.id: (s.label, s.area, s.is_crowd) for s in gt.segments},
            found.ids.tolist(),
            {s.id: s.label for s in found.segments},
        )
        for label in range(3):
            ours = sorted(match.iou for match in counts.matches if match.gt.label == label)
            assert ours == pytest.approx(sorted(ious.get(label, [])))
            assert sum(s.label == label for s in counts.wrong) == wrong.get(label, 0)
            assert sum(s.label == label for s in counts.missed) == missed.get(label, 0)
        for kind in kinds:
            kinds[kind] += len(getattr(counts, kind))
    assert min(kinds.values()) > 30  # each was seen often enough to mean something


def test_parts_merge_to_the_whole() -> None:
    random = np.random.default_rng(1)
    pairs = [(_random_map(random, is_gt=True), _random_map(random, is_gt=False)) for _ in range(6)]
    whole, parts = PanopticEvaluator([1, 1, 0]), [PanopticEvaluator([1, 1, 0]) for _ in range(2)]
    for index, (gt, found) in enumerate(pairs):
        whole.update(gt, found)
        parts[index % 2].update(gt, found)
    parts[0].merge(parts[1].iou, parts[1].counts)
    assert (parts[0].counts == whole.counts).all()
    assert parts[0].compute()["PQ_classes"] == pytest.approx(whole.compute()["PQ_classes"])
    with pytest.raises(ValueError, match="counts must be of 3 classes"):
        whole.merge(np.zeros(2), np.zeros((3, 2), np.int64))


def test_classes_that_do_not_occur_are_left_out_of_the_means() -> None:
    evaluator = PanopticEvaluator([True, True, False])
    evaluator.update(_map([[1]], Segment(1, 0, 1)), _map([[1]], Segment(1, 0)))
    scores = evaluator.compute()
    assert (scores["PQ"], scores["PQ_things"], scores["PQ_stuff"]) == (1.0, 1.0, None)
    assert scores["PQ_classes"] == [1.0, None, None]


@pytest.mark.parametrize(
    ("rows", "segments", "message"),
    [
        ([[1, 2]], [Segment(1, 0)], r"of image 7 where its map has ids that are no .*: \[2\]"),
        ([[1, 1]], [Segment(1, 0), Segment(3, 0)], r"its map lacks segments: \[3\]"),
        ([[1, 1]], [Segment(1, 5)], r"labels must be in 0\.\.1, got 5 of segment 1 in prediction"),
        ([[1, 1]], [Segment(1, 0), Segment(1, 1)], "ids of segments must differ"),
        ([[1]], [Segment(1, 0)], r"must have one size, got \(1, 1\) and \(1, 2\) px of image 7"),
    ],
)
def test_predictions_that_cannot_be_are_named(
    rows: list[list[int]], segments: list[Segment], message: str
) -> None:
    evaluator = PanopticEvaluator([True, False])
    with pytest.raises(ValueError, match=message):
        evaluator.update(_map([[1, 1]], Segment(1, 0, 2)), _map(rows, *segments), where=7)


def test_every_class_scores_as_the_official_evaluator_says(shared: Path) -> None:
    root = shared / "golden" / "panoptic_quality"
    if not root.is_dir():
        pytest.skip("no golden panoptic set")
    content = json.loads((root / "gt.json").read_text())
    results = json.loads((root / "pred.json").read_text())
    official = json.loads((root / "scores.json").read_text())
    categories = sorted(content["categories"], key=lambda category: category["id"])
    labels = {category["id"]: label for label, category in enumerate(categories)}
    evaluator = PanopticEvaluator([bool(category["isthing"]) for category in categories])

    def read(folder: str, entry: dict) -> SegmentMap:
        pixels = np.asarray(Image.open(root / folder / entry["file_name"])).astype(np.int64)
        return SegmentMap(
            pixels @ np.array([1, 256, 65536]),
            [
                Segment(s["id"], labels[s["category_id"]], s.get("area", 0), bool(s.get("iscrowd")))
                for s in entry["segments_info"]
            ],
        )

    found = {entry["image_id"]: entry for entry in results["annotations"]}
    for entry in content["annotations"]:
        evaluator.update(read("gt", entry), read("pred", found[entry["image_id"]]))
    scores = evaluator.compute()
    for category, label in labels.items():
        for name in ("PQ", "SQ", "RQ"):
            expected = official["per_class"][str(category)][name.lower()]
            assert scores[f"{name}_classes"][label] == pytest.approx(expected, abs=1e-6)
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for name in ("PQ", "SQ", "RQ"):
            assert scores[name + suffix] == pytest.approx(official[group][name.lower()], abs=1e-6)
