"""Assign boxes to objects by overlap, and sample the boxes that are trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import is_nonempty, pairwise_iou

BACKGROUND = -1
"""Match of a box that belongs to no object."""
IGNORED = -2
"""Match of a box that is not trained on."""


def match_boxes(
    iou: Tensor,
    *,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
    match_low_quality: bool,
) -> Tensor:
    """Give each box the object it is trained to find.

    Ren et al. 2015 (Faster R-CNN), Section 3.1.2. A box takes the object it overlaps most if that
    is at least `positive_iou`, and is background below `negative_iou`. With `match_low_quality`
    each object that some box overlaps by at least `min_positive_iou` takes all the boxes that
    overlap it most, also from objects before it.

    Args:
        iou: `(G, N)`, overlap of G objects with N boxes; -1 for boxes to be left out.
        positive_iou: see above.
        negative_iou: see above.
        min_positive_iou: see above.
        match_low_quality: see above.

    Returns:
        `(N,)` int64: an object's index, `BACKGROUND` or `IGNORED`; all `BACKGROUND` for G = 0.
    """
    num_objects, num_boxes = iou.shape
    if num_objects == 0:
        return torch.full((num_boxes,), BACKGROUND, dtype=torch.int64, device=iou.device)
    best_iou, best_object = iou.max(dim=0)  # (N,)
    is_background = (best_iou >= 0) & (best_iou < negative_iou)
    matches = torch.where(is_background, BACKGROUND, IGNORED)
    matches = torch.where(best_iou >= positive_iou, best_object, matches)
    if match_low_quality and num_boxes:
        best_of_object = iou.amax(dim=1, keepdim=True)  # (G, 1)
        takes = (iou == best_of_object) & (best_of_object >= min_positive_iou)  # (G, N)
        order = torch.arange(num_objects, device=iou.device)[:, None]  # (G, 1)
        taker = torch.where(takes, order, -1).amax(dim=0)  # (N,)
        matches = torch.where(taker >= 0, taker, matches)
    return matches


def sample_matches(
    matches: Tensor, *, num_samples: int | None, positive_fraction: float
) -> tuple[Tensor, Tensor]:
    """Draw the boxes of one image that are trained on, without waiting for the device.

    Args:
        matches: `(N,)` from `match_boxes`.
        num_samples: boxes to draw; None keeps all positives and all negatives.
        positive_fraction: largest share of positives among `num_samples`; negatives fill up.

    Returns:
        Two `(N,)` bool: the positives drawn and the negatives drawn.
    """
    positive, negative = matches >= 0, matches == BACKGROUND
    if num_samples is None:
        return positive, negative
    positive = _draw(positive, int(num_samples * positive_fraction))
    return positive, _draw(negative, num_samples, fewer=positive.sum())


def _draw(candidates: Tensor, count: int, *, fewer: Tensor | int = 0) -> Tensor:
    """Keep `count - fewer` random candidates, or all if there are not so many: `(N,)` bool."""
    count = min(count, len(candidates))
    keys = torch.rand(len(candidates), device=candidates.device).masked_fill_(~candidates, -1)
    best, indices = keys.topk(count)  # candidates first, in random order
    allowed = torch.arange(count, device=keys.device) < count - fewer
    return torch.zeros_like(candidates).scatter_(0, indices, (best >= 0) & allowed)


@dataclass(frozen=True, kw_only=True)
class RoISamples:
    """The boxes of one image that the RoI heads are trained on; the P positives come first.

    Attributes:
        boxes: `(R, 4)`, xyxy, px of the input frame.
        labels: `(R,)` int64, the class of the matched object; background is K.
        objects: `(P,)` int64, index of the object each positive is matched to.
        are_objects: `(R,)` bool, boxes that are annotations and not proposals.
    """

    boxes: Tensor
    labels: Tensor
    objects: Tensor
    are_objects: Tensor

    @property
    def num_positive(self) -> int:
        """Number of boxes that are matched to an object."""
        return len(self.objects)


@torch.no_grad()
def sample_rois(
    proposals: Tensor,
    gt_boxes: Tensor,
    object_labels: Tensor,
    *,
    num_classes: int,
    positive_iou: float,
    match_low_quality: bool,
    num_samples: int | None,
    positive_fraction: float,
) -> RoISamples:
    """Choose the boxes of one image that the RoI heads are trained on.

    Proposals and the objects' own boxes, the latter matched to themselves. An object without area
    takes part in nothing.

    Args:
        proposals: `(N, 4)`, xyxy, px of the input frame.
        gt_boxes: `(G, 4)`, same frame.
        object_labels: `(G,)` int64 in 0..K-1.
        num_classes: K.
        positive_iou: proposals that overlap an object by at least this are positive, others not.
        match_low_quality: see `match_boxes`.
        num_samples: see `sample_matches`.
        positive_fraction: see `sample_matches`.

    Returns:
        The sample; no boxes for no proposals and no objects.
    """
    matches = match_boxes(
        pairwise_iou(gt_boxes, proposals),
        positive_iou=positive_iou,
        negative_iou=positive_iou,
        min_positive_iou=positive_iou,
        match_low_quality=match_low_quality,
    )
    num_objects = len(gt_boxes)
    itself = torch.arange(num_objects, device=matches.device)
    matches = torch.cat([torch.where(is_nonempty(gt_boxes), itself, IGNORED), matches])
    positive, negative = sample_matches(
        matches, num_samples=num_samples, positive_fraction=positive_fraction
    )
    positives, negatives = positive.nonzero().flatten(), negative.nonzero().flatten()
    chosen = torch.cat([positives, negatives])  # (R,)
    objects = matches[positives]  # (P,)
    return RoISamples(
        boxes=torch.cat([gt_boxes, proposals])[chosen],
        labels=torch.cat([object_labels[objects], torch.full_like(negatives, num_classes)]),
        objects=objects,
        are_objects=chosen < num_objects,
    )
