"""Losses of Mask2Former: classes of all queries, masks of those that are matched with an object.

Cheng et al. 2022, Section 3.3 and the released `criterion.py`. Every set of predictions, from the
learned queries to the last layer, is matched and compared by itself. Masks are only ever compared
at points. So no mask of all queries is made: for matching, the features of the masks are sampled,
and of the matched queries alone whole masks are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.criterion.matching import Pairs, match, matching_cost
from swin_dense.heads.mask2former.criterion.points import (
    SetPoints,
    choose_uncertain,
    draw_points,
    sample_bitmaps,
    sample_features,
    sample_maps,
)
from swin_dense.heads.mask2former.criterion.targets import MaskTarget
from swin_dense.heads.mask2former.decoders.query_decoder import mask_logits

_POINTS_AT_ONCE = 2**14  # of one image in matching: beyond, memory costs more than calls


@dataclass(frozen=True)
class ImagePredictions:
    """Predictions for one image, of the S sets that are trained; the last layer's stands first.

    Attributes:
        class_logits: `(S, Q, K + 1)` float32.
        mask_embeddings: `(S, Q, M)` float32.
        mask_features: `(M, H/4, W/4)` float32.
        frame: height and width of the image with its padding, px.
    """

    class_logits: Tensor
    mask_embeddings: Tensor
    mask_features: Tensor
    frame: tuple[int, int]


def mask2former_losses(
    predictions: Sequence[ImagePredictions],
    targets: Sequence[MaskTarget],
    config: Mask2FormerConfig,
) -> dict[str, Tensor]:
    """Match, compare and weigh.

    Args:
        predictions: one an image.
        targets: the objects of each.
        config: weights and numbers of points.

    Returns:
        Scalars, already weighted: `loss_cls`, `loss_mask` and `loss_dice` of the last layer, and
        with `_0`, `_1`, ... behind, those of the learned queries and of the layers in between.
    """
    num_sets, num_queries = predictions[0].class_logits.shape[:2]
    num_objects = [len(target["labels"]) for target in targets]
    num_pairs = [min(num_queries, num) for num in num_objects]
    device = predictions[0].class_logits.device
    points = draw_points(num_sets, num_pairs, config, device=device)
    pairs = _match_all(predictions, targets, points, config)
    divisor = _mean_over_processes(sum(num_objects), device).clamp(min=1)

    class_losses = _class_losses(predictions, targets, pairs, config)  # (S,)
    sums = torch.zeros(2, num_sets, device=device)
    start = 0
    for image, (predicted, target) in enumerate(zip(predictions, targets, strict=True)):
        chosen = slice(start, start + num_pairs[image])
        candidates = torch.stack([drawn.candidates[chosen] for drawn in points])
        uniform = torch.stack([drawn.uniform[chosen] for drawn in points])
        sums = sums + _mask_losses(predicted, target, pairs[image], candidates, uniform, config)
        start += num_pairs[image]
    losses = {}
    for place in range(num_sets):
        name = f"_{place - 1}" if place else ""
        losses[f"loss_cls{name}"] = config.class_weight * class_losses[place]
        losses[f"loss_mask{name}"] = config.mask_weight * sums[0, place] / divisor
        losses[f"loss_dice{name}"] = config.dice_weight * sums[1, place] / divisor
    return losses


@torch.no_grad()
def _match_all(
    predictions: Sequence[ImagePredictions],
    targets: Sequence[MaskTarget],
    points: Sequence[SetPoints],
    config: Mask2FormerConfig,
) -> list[tuple[Tensor, Tensor]]:
    """Matched queries and objects of each image, `(S, n)` each, on its device."""
    costs: list[Tensor] = []
    num_sets, num_points = len(points), config.num_points
    step = max(1, _POINTS_AT_ONCE // num_points)  # sets: few of many points, many of a few
    for image, (predicted, target) in enumerate(zip(predictions, targets, strict=True)):
        features = predicted.mask_features.movedim(0, -1).contiguous()  # once for all sets
        for first in range(0, num_sets, step):
            sets = slice(first, first + step)  # s sets
            at = torch.cat([drawn.matching[image] for drawn in points[sets]], 1)  # (1, s*P, 2)
            sampled = sample_features(features.movedim(-1, 0), at[0])  # (s*P, M)
            masks = sample_bitmaps(target["masks"], at, predicted.frame)  # (G, s*P)
            masks = masks.unflatten(1, (-1, num_points)).transpose(0, 1)  # (s, G, P)
            sampled = sampled.unflatten(0, (-1, num_points))  # (s, P, M)
            logits = predicted.mask_embeddings[sets] @ sampled.mT  # (s, Q, P)
            class_logits = predicted.class_logits[sets]
            costs += matching_cost(class_logits, logits, target["labels"], masks, config)
    pairs = match(costs)
    device = costs[0].device
    return [
        _stack_pairs(pairs[first : first + num_sets], device)
        for first in range(0, len(pairs), num_sets)
    ]


def _stack_pairs(pairs: Sequence[Pairs], device: torch.device) -> tuple[Tensor, Tensor]:
    queries = torch.stack([queries for queries, _ in pairs]).to(device, non_blocking=True)
    objects = torch.stack([objects for _, objects in pairs]).to(device, non_blocking=True)
    return queries, objects  # (S, n) each


def _class_losses(
    predictions: Sequence[ImagePredictions],
    targets: Sequence[MaskTarget],
    pairs: Sequence[tuple[Tensor, Tensor]],
    config: Mask2FormerConfig,
) -> Tensor:
    """Cross-entropy of each set, `(S,)`: the mean over all queries by the weights of classes."""
    logits = torch.stack([predicted.class_logits for predicted in predictions])  # (B, S, Q, K+1)
    num_classes = logits.shape[-1] - 1
    labels = torch.full(logits.shape[:-1], num_classes, device=logits.device)  # (B, S, Q)
    for row, target, (queries, objects) in zip(labels, targets, pairs, strict=True):
        row.scatter_(1, queries, target["labels"][objects])
    weights = logits.new_ones(num_classes + 1)
    weights[-1] = config.no_object_weight
    losses = F.cross_entropy(
        logits.flatten(0, 2), labels.flatten(), weight=weights, reduction="none"
    ).view(labels.shape)
    return losses.sum((0, 2)) / weights[labels].sum((0, 2))


def _mask_losses(
    predicted: ImagePredictions,
    target: MaskTarget,
    pairs: tuple[Tensor, Tensor],
    candidates: Tensor,
    uniform: Tensor,
    config: Mask2FormerConfig,
) -> Tensor:
    """Cross-entropy and dice of the matched masks of an image, summed over its objects: `(2, S)`.

    Candidates and uniform points are `(S, n, points, 2)`, for n pairs a set.
    """
    queries, objects = pairs  # (S, n)
    embeddings = predicted.mask_embeddings.take_along_dim(queries[..., None], 1)  # (S, n, C)
    logits = mask_logits(embeddings.flatten(0, 1), predicted.mask_features)  # (S*n, H/4, W/4)
    points = choose_uncertain(
        logits.detach(), candidates.flatten(0, 1), uniform.flatten(0, 1), config
    )
    sampled = sample_maps(logits[:, None], points)[:, 0]  # (S*n, P)
    with torch.no_grad():
        masks = sample_bitmaps(
            target["masks"], points, predicted.frame, which=objects.flatten()
        )  # (S*n, P)
    cross_entropy = F.binary_cross_entropy_with_logits(sampled, masks, reduction="none").mean(1)
    scores = sampled.sigmoid()
    dice = 1 - (2 * (scores * masks).sum(1) + 1) / (scores.sum(1) + masks.sum(1) + 1)
    return torch.stack([cross_entropy, dice]).view(2, *queries.shape).sum(-1)


def _mean_over_processes(number: int, device: torch.device) -> Tensor:
    """Mean of a number over all processes, as a tensor that the host does not wait for."""
    total = torch.full((), float(number), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total
