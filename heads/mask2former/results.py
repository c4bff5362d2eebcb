"""Results of Mask2Former from the logits of its last layer, as the released code makes them.

Cheng et al. 2022, `maskformer_model.py`. What is done at full size is done for a few rows or a few
queries at a time, so that memory does not grow with queries times pixels.
"""

from collections.abc import Iterator, Sequence
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

    Stuff of one class is one segment. Where masks overlap, `panoptic_merging` decides:

    "pixels", as the released code: a pixel belongs to the query with the highest product of class
    score and mask score, and a query is left out whose mask is mostly others'. Of two queries that
    found the same object each may win half of it, and both are left out.

    "masks": whole masks are laid down one after another, the one with the highest mean score
    within it first, and one is left out that is mostly covered by then. After the mask-wise
    merging of kMaX-DeepLab (Yu et al. 2022), which orders by the class score too; but a query that
    covers two objects of a class is as sure of the class as one that tells them apart, and less
    sure of its mask.

    Args:
        masks: of one image.
        config: thresholds, the way of merging, and which classes are stuff.
    """
    scores, labels = masks.class_logits.softmax(-1).max(-1)  # (Q,)
    kept = ((labels != config.num_classes) & (scores > config.object_score)).nonzero().flatten()
    if not len(kept):
        panoptic = torch.zeros(masks.original_size, dtype=torch.int64, device=scores.device)
        return {"panoptic": panoptic, "segments": []}
    if config.panoptic_merging == "masks":
        kept = kept[_mean_scores(masks, kept).argsort(descending=True, stable=True)]
        owner, is_shown = _merge_masks(masks, kept, config)
    else:
        owner, is_shown = _merge_pixels(masks, kept, scores, config)
    numbers = torch.stack([labels[kept], is_shown], 1).tolist()
    segment_of, segments = _choose_segments(numbers, scores[kept].tolist(), config)
    ids = torch.tensor([*segment_of, 0], device=owner.device)  # the last is that of place -1
    return {"panoptic": ids[owner], "segments": segments}


def _merge_pixels(
    masks: QueryMasks, queries: Tensor, scores: Tensor, config: Mask2FormerConfig
) -> tuple[Tensor, Tensor]:
    """Places in `queries` of the pixels' owners, `(H, W)`, -1 of none; and which are shown."""
    logits, scores = masks.mask_logits[queries], scores[queries]
    owner = torch.full(masks.original_size, -1, dtype=torch.int64, device=scores.device)
    areas, full_areas, visible = torch.zeros(
        3, len(queries), dtype=torch.int64, device=scores.device
    )
    for top, bottom in masks.strips(len(queries)):
        inside = masks.rows(logits, (top, bottom)).sigmoid()  # (n, rows, W)
        full_areas += (inside >= 0.5).sum((1, 2))
        best = (inside * scores[:, None, None]).argmax(0)  # (rows, W)
        is_inside = inside.take_along_dim(best[None], 0)[0] >= 0.5
        owner[top:bottom] = torch.where(is_inside, best, -1)
        areas += best.flatten().bincount(minlength=len(queries))
        visible += best[is_inside].bincount(minlength=len(queries))
    return owner, (visible > 0) & (areas.double() / full_areas >= config.visible_share)


def _merge_masks(
    masks: QueryMasks, queries: Tensor, config: Mask2FormerConfig
) -> tuple[Tensor, Tensor]:
    """The same, of queries in the order in which their masks are laid down."""
    owner = torch.full(masks.original_size, -1, dtype=torch.int64, device=queries.device)
    is_shown = []
    for first, some in _few_at_a_time(masks, queries):
        bitmaps, _ = _draw_masks(masks, some)
        for place, bitmap in enumerate(bitmaps, start=first):
            free = bitmap & (owner < 0)
            visible = free.sum()
            share = visible.double() / bitmap.sum()
            is_shown.append((visible > 0) & (share >= config.visible_share))
            owner = torch.where(free & is_shown[-1], place, owner)
    return owner, torch.stack(is_shown)


def _choose_segments(
    numbers: Sequence[Sequence[int]], scores: Sequence[float], config: Mask2FormerConfig
) -> tuple[list[int], list[SegmentInfo]]:
    """The segment of each query, 0 for none, and the segments.

    A query's numbers are its label and whether it is shown.
    """
    stuff, segment_of_stuff = set(config.stuff_classes), dict[int, int]()
    segment_of, segments = [0] * len(numbers), list[SegmentInfo]()
    for query, (label, is_shown) in enumerate(numbers):
        if not is_shown:
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
    found = _FoundMasks(len(queries), masks.original_size, queries.device, has_bitmaps=has_bitmaps)
    for first, few in _few_at_a_time(masks, queries):
        some = slice(first, first + len(few))
        bitmaps, found.quality[some] = _draw_masks(masks, few)
        found.has_pixels[some] = bitmaps.flatten(1).any(1)
        found.boxes[some] = _boxes_of(bitmaps)
        if found.bitmaps is None:
            found.run_lengths += [_run_lengths(bitmap) for bitmap in bitmaps]
        else:
            found.bitmaps[some] = bitmaps
    return found


def _mean_scores(masks: QueryMasks, queries: Tensor) -> Tensor:
    """Mean score within each query's mask, `(n,)`, in 0.5..1; 0 of an empty mask."""
    return torch.cat([_draw_masks(masks, few)[1] for _, few in _few_at_a_time(masks, queries)])


def _few_at_a_time(masks: QueryMasks, queries: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Parts of `queries` whose bitmaps fit into memory, each with the place of its first."""
    height, width = masks.original_size
    step = max(1, STRIP_BYTES // (height * width))
    for first in range(0, len(queries), step):
        yield first, queries[first : first + step]


def _draw_masks(masks: QueryMasks, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Bitmaps `(n, H, W)` bool of some queries, and the mean score within each, `(n,)`."""
    logits, device = masks.mask_logits[queries], queries.device
    bitmaps = torch.zeros(len(queries), *masks.original_size, dtype=torch.bool, device=device)
    total = torch.zeros(len(queries), device=device)
    for top, bottom in masks.strips(len(queries)):
        rows = masks.rows(logits, (top, bottom))  # (n, rows, W)
        inside = rows > 0
        bitmaps[:, top:bottom] = inside
        total += (rows.sigmoid() * inside).sum((1, 2))
    return bitmaps, total / (bitmaps.sum((1, 2)) + _EPSILON)


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
