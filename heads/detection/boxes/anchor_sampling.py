"""The anchors that the region proposal network is trained on (Ren et al. 2015, Section 3.1.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.anchors import ANCHOR_DELTA_STDS, anchors_in_image
from swin_dense.heads.detection.boxes.box_ops import encode_boxes, pairwise_iou
from swin_dense.heads.detection.boxes.matching import IGNORED, match_boxes, sample_matches


@dataclass(frozen=True, kw_only=True)
class AnchorSamples:
    """The anchors of each image that the network is trained on.

    Attributes:
        indices: `(B, S)` int64, positions among the N anchors; None: all in order, S = N.
        positive: `(B, S)` bool, anchors that are objects.
        negative: `(B, S)` bool, anchors that are background; the rest is not trained on.
        deltas: `(B, S, 4)`, from the anchor to its matched ground-truth box; 0 where it has none.
    """

    indices: Tensor | None
    positive: Tensor
    negative: Tensor
    deltas: Tensor


@torch.no_grad()
def sample_anchors(
    anchors: Tensor,
    sizes: Sequence[tuple[int, int]],
    gt_boxes: Sequence[Tensor],
    *,
    size_divisor: int,
    allowed_border: int | None,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
    num_samples: int | None,
    positive_fraction: float,
    generators: Sequence[torch.Generator | None],
) -> AnchorSamples:
    """Sample the anchors that are trained on, without waiting for the device.

    Args:
        anchors: `(N, 4)`, xyxy, px of the input frame.
        sizes: true (height, width) of each image, px.
        gt_boxes: `(G, 4)` per image, xyxy, px of the input frame.
        size_divisor: see `anchors_in_image`.
        allowed_border: see `anchors_in_image`.
        positive_iou: see `match_boxes`.
        negative_iou: see `match_boxes`.
        min_positive_iou: see `match_boxes`.
        num_samples: see `sample_matches`.
        positive_fraction: see `sample_matches`.
        generators: random source of each image, see `image_generators`.

    Returns:
        `min(num_samples, N)` anchors of each image, or all of them for None.
    """
    columns = []
    for size, image_boxes, generator in zip(sizes, gt_boxes, generators, strict=True):
        usable = anchors_in_image(
            anchors, size, size_divisor=size_divisor, allowed_border=allowed_border
        )
        matches = match_boxes(
            pairwise_iou(image_boxes, anchors).masked_fill_(~usable, -1),
            positive_iou=positive_iou,
            negative_iou=negative_iou,
            min_positive_iou=min_positive_iou,
            match_low_quality=True,
        )
        positive, negative = sample_matches(
            matches.masked_fill_(~usable, IGNORED),
            num_samples=num_samples,
            positive_fraction=positive_fraction,
            generator=generator,
        )
        indices, sampled = torch.arange(len(anchors), device=anchors.device), anchors
        if num_samples is not None:
            keep = (positive | negative).float()
            indices = keep.topk(min(num_samples, len(anchors)), sorted=False).indices  # (S,)
            positive, negative, sampled = positive[indices], negative[indices], anchors[indices]
        matched_gt_boxes = sampled
        if len(image_boxes):
            matched_gt_boxes = torch.where(
                positive[:, None], image_boxes[matches[indices].clamp(min=0)], sampled
            )
        deltas = encode_boxes(sampled, matched_gt_boxes, stds=ANCHOR_DELTA_STDS)  # (S, 4)
        columns.append((indices, positive, negative, deltas))
    indices, positive, negative, deltas = (
        torch.stack(column) for column in zip(*columns, strict=True)
    )
    return AnchorSamples(
        indices=None if num_samples is None else indices,
        positive=positive,
        negative=negative,
        deltas=deltas,
    )
