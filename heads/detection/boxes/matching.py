"""Assign boxes to ground truth by overlap, and sample the boxes that are trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import is_nonempty, pairwise_iou

BACKGROUND = -1
"""Match of a box without ground truth: background."""
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
    """Match each box with the ground-truth box it is trained to find.

    Ren et al. 2015 (Faster R-CNN), Section 3.1.2. A box is matched with the ground truth it
    overlaps most if that is at least `positive_iou`, and is background below `negative_iou`. With
    `match_low_quality` each ground-truth box that some box overlaps by at least `min_positive_iou`
    is given all the boxes that overlap it most, also those of ground truth before it.

    Args:
        iou: `(G, N)`, overlap of G ground-truth boxes with N boxes; -1 for boxes to be left out.
        positive_iou: see above.
        negative_iou: see above.
        min_positive_iou: see above.
        match_low_quality: see above.

    Returns:
        `(N,)` int64: index of the ground truth, `BACKGROUND` or `IGNORED`; all `BACKGROUND` for
        G = 0.
    """
    num_gt, num_boxes = iou.shape
    if num_gt == 0:
        return torch.full((num_boxes,), BACKGROUND, dtype=torch.int64, device=iou.device)
    best_iou, best_gt = iou.max(dim=0)  # (N,)
    is_background = (best_iou >= 0) & (best_iou < negative_iou)
    matches = torch.where(is_background, BACKGROUND, IGNORED)
    matches = torch.where(best_iou >= positive_iou, best_gt, matches)
    if match_low_quality and num_boxes:
        best_iou_of_gt = iou.amax(dim=1, keepdim=True)  # (G, 1)
        is_best = (iou == best_iou_of_gt) & (best_iou_of_gt >= min_positive_iou)  # (G, N)
        gt_indices = torch.arange(num_gt, device=iou.device)[:, None]  # (G, 1)
        low_quality_matches = torch.where(is_best, gt_indices, -1).amax(dim=0)  # (N,)
        matches = torch.where(low_quality_matches >= 0, low_quality_matches, matches)
    return matches


def image_generators(num_images: int, device: torch.device) -> list[torch.Generator]:
    """Random sources of one step, one an image, for all that is sampled of it.

    All begin with one seed, which is drawn from torch's global source on the CPU. So after the same
    `torch.manual_seed` an image draws the same alone and in any batch. Equal seeds do no harm: in
    each image every candidate is drawn equally often, which is all that the losses, sums over
    images, need; that two images draw from the same places of their lists says nothing, for what
    stands there are boxes of different images.

    Args:
        num_images: images of the batch.
        device: on which is sampled; the host does not wait for it.
    """
    seed = int(torch.randint(2**63 - 1, (), device="cpu"))
    return [torch.Generator(device).manual_seed(seed) for _ in range(num_images)]


def sample_matches(
    matches: Tensor,
    *,
    num_samples: int | None,
    positive_fraction: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample the boxes of one image that are trained on, without waiting for the device.

    Args:
        matches: `(N,)` from `match_boxes`.
        num_samples: boxes to sample; None keeps all positives and all negatives.
        positive_fraction: largest share of positives among `num_samples`; negatives fill up.
        generator: random source on the device of `matches`; None: torch's global one.

    Returns:
        Two `(N,)` bool: the positives sampled and the negatives sampled.
    """
    positive, negative = matches >= 0, matches == BACKGROUND
    if num_samples is None:
        return positive, negative
    max_positive = int(num_samples * positive_fraction)
    positive = _random_choice(positive, max_positive, generator)
    return positive, _random_choice(negative, num_samples, generator, fewer=positive.sum())


def _random_choice(
    candidates: Tensor, count: int, generator: torch.Generator | None, *, fewer: Tensor | int = 0
) -> Tensor:
    """Keep `count - fewer` random candidates, or all if there are not so many: `(N,)` bool."""
    count = min(count, len(candidates))
    keys = torch.rand(len(candidates), generator=generator, device=candidates.device)
    keys.masked_fill_(~candidates, -1)
    best, indices = keys.topk(count)  # candidates first, in random order
    allowed = torch.arange(count, device=keys.device) < count - fewer
    return torch.zeros_like(candidates).scatter_(0, indices, (best >= 0) & allowed)


@dataclass(frozen=True, kw_only=True)
class RoISamples:
    """The boxes of one image that the RoI heads are trained on; the P positives come first.

    Attributes:
        boxes: `(R, 4)`, xyxy, px of the input frame.
        labels: `(R,)` int64, the class of the matched ground truth; background is K.
        matched_gt_indices: `(P,)` int64, index of the ground truth each positive is matched with.
        is_gt: `(R,)` bool, boxes that are ground truth and not proposals.
    """

    boxes: Tensor
    labels: Tensor
    matched_gt_indices: Tensor
    is_gt: Tensor

    @property
    def num_positive(self) -> int:
        """Number of boxes that are matched with ground truth."""
        return len(self.matched_gt_indices)


@torch.no_grad()
def sample_rois(
    proposals: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    *,
    num_classes: int,
    positive_iou: float,
    match_low_quality: bool,
    num_samples: int | None,
    positive_fraction: float,
    generator: torch.Generator | None = None,
) -> RoISamples:
    """Sample the boxes of one image that the RoI heads are trained on.

    Candidates are the proposals and the ground-truth boxes, the latter matched with themselves.
    Ground truth without area takes part in nothing.

    Args:
        proposals: `(N, 4)`, xyxy, px of the input frame.
        gt_boxes: `(G, 4)`, same frame.
        gt_labels: `(G,)` int64 in 0..K-1.
        num_classes: K.
        positive_iou: proposals that overlap ground truth by at least this are positive, others not.
        match_low_quality: see `match_boxes`.
        num_samples: see `sample_matches`.
        positive_fraction: see `sample_matches`.
        generator: see `sample_matches`.

    Returns:
        The sample; no boxes for no proposals and no ground truth.
    """
    matches = match_boxes(
        pairwise_iou(gt_boxes, proposals),
        positive_iou=positive_iou,
        negative_iou=positive_iou,
        min_positive_iou=positive_iou,
        match_low_quality=match_low_quality,
    )
    num_gt = len(gt_boxes)
    gt_indices = torch.arange(num_gt, device=matches.device)
    matches = torch.cat([torch.where(is_nonempty(gt_boxes), gt_indices, IGNORED), matches])
    positive, negative = sample_matches(
        matches,
        num_samples=num_samples,
        positive_fraction=positive_fraction,
        generator=generator,
    )
    positives, negatives = positive.nonzero().flatten(), negative.nonzero().flatten()
    sampled = torch.cat([positives, negatives])  # (R,)
    matched_gt_indices = matches[positives]  # (P,)
    return RoISamples(
        boxes=torch.cat([gt_boxes, proposals])[sampled],
        labels=torch.cat([gt_labels[matched_gt_indices], torch.full_like(negatives, num_classes)]),
        matched_gt_indices=matched_gt_indices,
        is_gt=sampled < num_gt,
    )
