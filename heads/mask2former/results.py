"""Results of Mask2Former from the logits of its last layer, as the released code makes them.

Cheng et al. 2022, `maskformer_model.py`. What is done at full size is done for a few rows or a few
queries at a time, so that memory does not grow with queries times pixels.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from swin_dense.heads.detection.targets import DetectionResult, MaskForm, RunLengths
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.query_masks import QueryMasks
from swin_dense.heads.segmentation.inference import STRIP_BYTES, ScoreSource, Size

_EPSILON = 1e-6  # px, of the released code


class SegmentInfo(TypedDict):
    """One segment of a panoptic result.

    Keys:
        id: of its pixels.
        label: in 0..K-1.
        score: of the class, 0..1; the first query's for stuff that several have found.
        is_thing: whether it is a thing.
    """

    id: int
    label: int
    score: float
    is_thing: bool


class PanopticResult(TypedDict):
    """Segments of one image.

    Keys:
        panoptic: `(H, W)` int64, the segment of each pixel; 0 is no segment.
        segments: all of them, with ids 1, 2, ...
    """

    panoptic: Tensor
    segments: list[SegmentInfo]


def semantic_scores(masks: QueryMasks, config: Mask2FormerConfig) -> ScoreSource:
    """Score the classes at each pixel: sums over the queries of class score times mask score.

    Models for semantic segmentation alone are scored in the frame of the input, and the scores
    resized; the others in the frame of the result. So the published numbers were measured.

    Args:
        masks: of one image.
        config: of the model.
    """
    at_input = config.task == "semantic"
    return lambda rows: masks.score_rows(rows, at_input=at_input).permute(1, 2, 0)


def panoptic_result(masks: QueryMasks, config: Mask2FormerConfig) -> PanopticResult:
    """Segments that do not overlap, of the queries that are certain of their class.

    Each pixel belongs to the query with the highest product of class score and mask score. A query
    is left out whose own mask is mostly others'. Stuff of one class is one segment.

    Args:
        masks: of one image.
        config: thresholds, and which classes are stuff.
    """
    scores, labels = masks.class_logits.softmax(-1).max(-1)  # (Q,)
    kept = ((labels != config.num_classes) & (scores > config.object_score)).nonzero().flatten()
    panoptic = torch.zeros(masks.original_size, dtype=torch.int64, device=scores.device)
    if not len(kept):
        return {"panoptic": panoptic, "segments": []}
    scores, labels, logits = scores[kept], labels[kept], masks.mask_logits[kept]
    winner, is_inside = panoptic, torch.zeros_like(panoptic, dtype=torch.bool)
    full_areas = torch.zeros(len(kept), dtype=torch.int64, device=scores.device)
    for top, bottom in masks.strips(len(kept)):
        inside = masks.rows(logits, (top, bottom)).sigmoid()  # (n, rows, W)
        full_areas += (inside >= 0.5).sum((1, 2))
        best = (inside * scores[:, None, None]).argmax(0)  # (rows, W)
        winner[top:bottom] = best
        is_inside[top:bottom] = inside.take_along_dim(best[None], 0)[0] >= 0.5
    areas = winner.flatten().bincount(minlength=len(kept))
    visible = winner[is_inside].bincount(minlength=len(kept))
    numbers = torch.stack([labels, areas, full_areas, visible], 1).tolist()
    segment_of, segments = _choose_segments(numbers, scores.tolist(), config)
    ids = torch.tensor(segment_of, device=winner.device)
    return {"panoptic": torch.where(is_inside, ids[winner], 0), "segments": segments}


def _choose_segments(
    numbers: Sequence[Sequence[int]], scores: Sequence[float], config: Mask2FormerConfig
) -> tuple[list[int], list[SegmentInfo]]:
    """The segment of each query, 0 for none, and the segments.

    A query's numbers are its label, the pixels that it wins, those of its whole mask, and those
    that it wins within its mask.
    """
    stuff, segment_of_stuff = set(config.stuff_classes), dict[int, int]()
    segment_of, segments = [0] * len(numbers), list[SegmentInfo]()
    for query, (label, area, full_area, visible) in enumerate(numbers):
        if not (area and full_area and visible) or area / full_area < config.visible_share:
            continue
        if label in segment_of_stuff:
            segment_of[query] = segment_of_stuff[label]
            continue
        segment_of[query] = len(segments) + 1
        if label in stuff:
            segment_of_stuff[label] = len(segments) + 1
        segments.append(
            {
                "id": len(segments) + 1,
                "label": label,
                "score": scores[query],
                "is_thing": label not in stuff,
            }
        )
    return segment_of, segments


def instance_result(
    masks: QueryMasks,
    config: Mask2FormerConfig,
    *,
    score_threshold: float = 0.0,
    mask_form: MaskForm = "bitmaps",
) -> DetectionResult:
    """The best pairs of query and class, which may share a query.

    The score is the class's times the mean score within the mask. Of a model for panoptic
    segmentation, things alone are kept. A mask without a pixel scores 0 and is left out. The
    released code gives no boxes; here they are those of the masks.

    Args:
        masks: of one image.
        config: largest number of detections, and which classes are stuff.
        score_threshold: smallest score of a result, 0..1.
        mask_form: see `DetectionResult`.
    """
    class_scores = masks.class_logits.softmax(-1)[:, :-1]  # (Q, K)
    num = min(config.max_detections, class_scores.numel())
    scores, places = class_scores.flatten().topk(num)
    queries, labels = places // config.num_classes, places % config.num_classes
    kept = scores >= score_threshold
    if config.task == "panoptic" and config.stuff_classes:
        stuff = torch.tensor(config.stuff_classes, device=labels.device)
        kept &= ~torch.isin(labels, stuff)
    scores, queries, labels = scores[kept], queries[kept], labels[kept]
    used, rows = queries.unique(return_inverse=True)
    found = _find_masks(masks, used, mask_form)
    scores, boxes = scores * found.quality[rows], found.boxes[rows]
    kept = (scores >= score_threshold) & found.has_pixels[rows]
    order = torch.where(kept, scores, -1).argsort(descending=True, stable=True)[: int(kept.sum())]
    rows = rows[order]
    bitmaps, run_lengths = found.bitmaps, found.run_lengths
    return {
        "boxes": boxes[order],
        "scores": scores[order],
        "labels": labels[order],
        "masks": bitmaps[rows] if bitmaps is not None else [run_lengths[r] for r in rows.tolist()],
    }


class _FoundMasks:
    """Masks of queries in the frame of the result, and what is measured on them.

    Attributes:
        quality: `(n,)` mean score within the mask.
        has_pixels: `(n,)` bool.
        boxes: `(n, 4)` float32.
        bitmaps: `(n, H, W)` bool, or None where run lengths are asked for.
        run_lengths: of each mask, or none.
    """

    def __init__(self, num: int, size: Size, device: torch.device, *, has_bitmaps: bool) -> None:
        self.quality = torch.zeros(num, device=device)
        self.has_pixels = torch.zeros(num, dtype=torch.bool, device=device)
        self.boxes = torch.zeros(num, 4, device=device)
        shape = (num, *size)
        self.bitmaps = torch.zeros(shape, dtype=torch.bool, device=device) if has_bitmaps else None
        self.run_lengths: list[RunLengths] = []


def _find_masks(masks: QueryMasks, queries: Tensor, mask_form: MaskForm) -> _FoundMasks:
    """The masks of some queries, a few at a time."""
    has_bitmaps = mask_form == "bitmaps"
    size, device = masks.original_size, queries.device
    found = _FoundMasks(len(queries), size, device, has_bitmaps=has_bitmaps)
    step = max(1, STRIP_BYTES // (size[0] * size[1]))
    for first in range(0, len(queries), step):
        some = slice(first, first + step)
        logits = masks.mask_logits[queries[some]]
        if found.bitmaps is None:
            bitmaps = torch.zeros(len(logits), *size, dtype=torch.bool, device=device)
        else:
            bitmaps = found.bitmaps[some]
        total = torch.zeros(len(logits), device=device)
        for top, bottom in masks.strips(len(logits)):
            rows = masks.rows(logits, (top, bottom))  # (n, rows, W)
            inside = rows > 0
            bitmaps[:, top:bottom] = inside
            total += (rows.sigmoid() * inside).sum((1, 2))
        areas = bitmaps.sum((1, 2))
        found.quality[some] = total / (areas + _EPSILON)
        found.has_pixels[some] = areas > 0
        found.boxes[some] = _boxes_of(bitmaps)
        if not has_bitmaps:
            found.run_lengths += [_run_lengths(bitmap) for bitmap in bitmaps]
    return found


def _boxes_of(bitmaps: Tensor) -> Tensor:
    """Boxes `(n, 4)` float32 around `(n, H, W)` masks; a mask without pixels has any."""
    sides = []
    for axis in (1, 2):  # over rows: columns; over columns: rows
        line = bitmaps.any(axis).int()  # (n, length)
        sides.append((line.argmax(1), line.shape[1] - line.flip(1).argmax(1)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1).float()


def _run_lengths(bitmap: Tensor) -> RunLengths:
    """COCO's uncompressed run lengths of an `(H, W)` mask."""
    height, width = bitmap.shape
    column_wise = bitmap.T.flatten()
    changes = (column_wise[1:] != column_wise[:-1]).nonzero().flatten() + 1
    ends = torch.cat([changes, changes.new_tensor([height * width])])
    counts = ends.diff(prepend=ends.new_zeros(1)).tolist()
    return {"size": [height, width], "counts": [0, *counts] if column_wise[0] else counts}
