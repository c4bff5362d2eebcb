"""Results of Mask2Former, against the released code written out for whole maps."""

import dataclasses

import pytest
import torch
from torch import Tensor

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.datasets.masks import bitmaps_from_runs
from swin_dense.heads.mask2former import results
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.query_masks import QueryMasks
from swin_dense.heads.mask2former.results import instance_result, panoptic_result, semantic_scores

CONFIG = Mask2FormerConfig(
    backbone=SWIN_VARIANTS["swin_t"],
    num_classes=4,
    num_queries=6,
    task="panoptic",
    stuff_classes=(2, 3),
    object_score=0.4,
    visible_share=0.5,
    max_detections=9,
)
SIZE = (20, 30)


def make(*, seed: int = 0) -> QueryMasks:
    torch.manual_seed(seed)
    logits = torch.nn.functional.interpolate(torch.randn(1, 6, 3, 4) * 4, SIZE, mode="bilinear")[0]
    return QueryMasks(2 * torch.randn(6, 5), logits, SIZE, SIZE, SIZE)


class Painter:
    """Segments painted one after another; stuff of one class is one."""

    def __init__(self) -> None:
        self.panoptic = torch.zeros(SIZE, dtype=torch.int64)
        self.segments: list[tuple[int, int]] = []
        self._stuff: dict[int, int] = {}

    def paint(self, mask: Tensor, label: int) -> None:
        if label in self._stuff:
            self.panoptic[mask] = self._stuff[label]
            return
        self.segments.append((len(self.segments) + 1, label))
        self.panoptic[mask] = len(self.segments)
        if label in CONFIG.stuff_classes:
            self._stuff[label] = len(self.segments)


def released_panoptic(masks: QueryMasks, config: Mask2FormerConfig) -> tuple[Tensor, list]:
    """Section 3.3 of the paper's released code, query by query."""
    scores, labels = masks.class_logits.softmax(-1).max(-1)
    kept = [q for q in range(6) if labels[q] != 4 and scores[q] > config.object_score]
    painter = Painter()
    if not kept:
        return painter.panoptic, painter.segments
    inside = masks.mask_logits[kept].sigmoid()
    winner = (inside * scores[kept][:, None, None]).argmax(0)
    for place, query in enumerate(kept):
        area, full = int((winner == place).sum()), int((inside[place] >= 0.5).sum())
        mask = (winner == place) & (inside[place] >= 0.5)
        if area and full and mask.any() and area / full >= config.visible_share:
            painter.paint(mask, int(labels[query]))
    return painter.panoptic, painter.segments


@pytest.mark.parametrize("seed", range(8))
def test_panoptic_results_are_those_of_the_released_code(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = make(seed=seed)
    panoptic, segments = released_panoptic(masks, CONFIG)
    found = panoptic_result(masks, CONFIG)
    assert torch.equal(found["panoptic"], panoptic)
    assert [(s["id"], s["label"]) for s in found["segments"]] == segments
    assert all(s["is_thing"] == (s["label"] < 2) for s in found["segments"])
    assert all(0.4 < s["score"] <= 1 for s in found["segments"])


def masks_laid_down(masks: QueryMasks, config: Mask2FormerConfig) -> tuple[Tensor, list]:
    """Merging of whole masks, the most certain first, query by query."""
    scores, labels = masks.class_logits.softmax(-1).max(-1)
    inside = masks.mask_logits.sigmoid()
    kept = [q for q in range(6) if labels[q] != 4 and scores[q] > config.object_score]
    certainty = [float(inside[q][inside[q] > 0.5].mean().nan_to_num()) for q in range(6)]
    painter = Painter()
    for query in sorted(kept, key=lambda q: -certainty[q]):
        mask = inside[query] > 0.5
        free = mask & (painter.panoptic == 0)
        if free.any() and free.sum() / mask.sum() >= config.visible_share:
            painter.paint(free, int(labels[query]))
    return painter.panoptic, painter.segments


@pytest.mark.parametrize("at_once", [1, 4, 100])
@pytest.mark.parametrize("seed", range(8))
def test_whole_masks_are_laid_down_the_most_certain_first(
    seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "STRIP_BYTES", at_once * SIZE[0] * SIZE[1])
    config = dataclasses.replace(CONFIG, panoptic_merging="masks")
    masks = make(seed=seed)
    panoptic, segments = masks_laid_down(masks, config)
    found = panoptic_result(masks, config)
    assert torch.equal(found["panoptic"], panoptic)
    assert [(s["id"], s["label"]) for s in found["segments"]] == segments


def test_of_two_queries_with_one_object_whole_masks_keep_the_better_one() -> None:
    logits = torch.full((6, *SIZE), -9.0)
    logits[:2, 5:15, 5:15] = 2  # each wins half of the pixels
    logits[0, 5:10, 5:15] += 1
    logits[1, 10:15, 5:15] += 0.5
    logits[2] = -logits[0]
    classes = torch.zeros(6, 5)
    for query, label in enumerate((0, 0, 2, 4, 4, 4)):
        classes[query, label] = 20
    masks = QueryMasks(classes, logits, SIZE, SIZE, SIZE)
    found = panoptic_result(masks, dataclasses.replace(CONFIG, visible_share=0.8))
    assert [s["label"] for s in found["segments"]] == [2]
    config = dataclasses.replace(CONFIG, visible_share=0.8, panoptic_merging="masks")
    found = panoptic_result(masks, config)
    assert [(s["id"], s["label"]) for s in found["segments"]] == [(1, 2), (2, 0)]
    assert torch.equal(found["panoptic"] == 2, logits[0] > 0)


def test_without_a_certain_query_nothing_is_a_segment() -> None:
    found = panoptic_result(make(), dataclasses.replace(CONFIG, object_score=1.0))
    assert not found["segments"]
    assert not found["panoptic"].any()


def test_stuff_of_one_class_is_one_segment() -> None:
    logits = torch.full((6, *SIZE), -9.0)
    logits[0, :5], logits[1, 10:], logits[2, 5:8], logits[3, 8:10] = 9, 9, 9, 9
    classes = torch.zeros(6, 5)
    for query, label in enumerate((3, 3, 0, 0)):
        classes[query, label] = 20
    found = panoptic_result(QueryMasks(classes, logits, SIZE, SIZE, SIZE), CONFIG)
    assert [(s["id"], s["label"]) for s in found["segments"]] == [(1, 3), (2, 0), (3, 0)]
    assert found["panoptic"][:, 0].tolist() == [1] * 5 + [2] * 3 + [3] * 2 + [1] * 10


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_instances_are_those_of_the_released_code(task: str) -> None:
    masks = make(seed=3)
    config = dataclasses.replace(CONFIG, task=task)
    scores, places = masks.class_logits.softmax(-1)[:, :-1].flatten().topk(9)
    expected = []
    for score, place in zip(scores, places.tolist(), strict=True):
        logits, label = masks.mask_logits[place // 4], place % 4
        mask = logits > 0
        quality = (logits.sigmoid() * mask).sum() / (mask.sum() + 1e-6)
        if mask.any() and (task == "instance" or label < 2):
            expected.append((float(score * quality), label, mask))
    expected.sort(key=lambda found: -found[0])
    found = instance_result(masks, config)
    assert found["labels"].tolist() == [label for _, label, _ in expected]
    torch.testing.assert_close(found["scores"], torch.tensor([score for score, _, _ in expected]))
    assert torch.equal(found["masks"], torch.stack([mask for _, _, mask in expected]))


def test_boxes_are_around_the_masks() -> None:
    logits = torch.full((6, *SIZE), -1.0)
    logits[0, 3:7, 10:12] = 1
    found = instance_result(
        QueryMasks(torch.zeros(6, 5), logits, SIZE, SIZE, SIZE),
        dataclasses.replace(CONFIG, task="instance", max_detections=24),
    )
    assert found["boxes"].tolist() == [[10.0, 3, 12, 7]] * 4  # one for each class


def test_run_lengths_are_the_same_masks_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, task="instance")
    expected = instance_result(make(), config)
    monkeypatch.setattr(results, "STRIP_BYTES", 2 * SIZE[0] * SIZE[1])  # two masks at a time
    found = instance_result(make(), config, mask_form="run_lengths")
    counts = [torch.tensor(mask["counts"]) for mask in found["masks"]]
    num_runs = torch.tensor([len(runs) for runs in counts])
    masks = bitmaps_from_runs(torch.cat(counts).int(), num_runs, SIZE)
    assert torch.equal(masks.bool(), expected["masks"])


def test_a_score_threshold_leaves_out_what_scores_less() -> None:
    config = dataclasses.replace(CONFIG, task="instance")
    scores = instance_result(make(), config)["scores"]
    middle = float(scores[3])
    found = instance_result(make(), config, score_threshold=middle)
    assert found["scores"].tolist() == scores[scores >= middle].tolist()


def test_semantic_scores_are_sums_of_class_score_times_mask_score() -> None:
    first, second = make(seed=0), make(seed=1)
    config = dataclasses.replace(CONFIG, task="semantic")
    scores = [
        torch.einsum("qk,qhw->khw", m.class_logits.softmax(-1)[:, :-1], m.mask_logits.sigmoid())
        for m in (first, second)
    ]
    rows = (0, SIZE[0])
    for masks, expected in zip((first, second), scores, strict=True):
        found = semantic_scores(masks, config)(rows)
        torch.testing.assert_close(found, expected.permute(1, 2, 0))
