"""Matching of queries with objects: the pairs that cost least together (Carion et al. 2020)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from swin_dense.heads.mask2former.config import Mask2FormerConfig

# Indices of matched queries, ascending, and of their objects.
Pairs = tuple[Tensor, Tensor]


@torch.no_grad()
def matching_cost(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    masks: Tensor,
    config: Mask2FormerConfig,
) -> Tensor:
    """Cost of taking each query for each object (Cheng et al. 2022, Section 3.3).

    Args:
        class_logits: `(..., Q, K + 1)` float32.
        mask_logits: `(..., Q, P)` float32 at points.
        labels: `(G,)`.
        masks: `(..., G, P)` float32, 0..1 at the same points.
        config: weights of class, cross-entropy and dice.

    Returns:
        `(..., Q, G)` float32.
    """
    cost_class = -class_logits.softmax(-1)[..., labels]  # (..., Q, G)
    # The cross-entropy of s with y is softplus(s) - s*y.
    certain = F.softplus(mask_logits).sum(-1, keepdim=True) - mask_logits @ masks.mT
    scores = mask_logits.sigmoid()
    overlap = 2 * (scores @ masks.mT) + 1
    cost_dice = 1 - overlap / (scores.sum(-1, keepdim=True) + masks.sum(-1)[..., None, :] + 1)
    return (
        config.class_weight * cost_class
        + config.mask_weight * (certain / mask_logits.shape[-1])
        + config.dice_weight * cost_dice
    )


def match(costs: Sequence[Tensor]) -> list[Pairs]:
    """Find the pairs of each cost matrix `(Q, G)` that cost least together.

    All matrices go to the host at once, the one time that a training step waits for it. A cost that
    is not finite is taken for the highest: the losses then show what has gone wrong.

    Returns:
        For each matrix `min(Q, G)` pairs, on the CPU.
    """
    flat = torch.cat([cost.flatten() for cost in costs]).cpu()
    highest = torch.finfo(flat.dtype).max
    flat = flat.nan_to_num(nan=highest, posinf=highest, neginf=highest)
    pairs = []
    for part, cost in zip(flat.split([cost.numel() for cost in costs]), costs, strict=True):
        queries, objects = linear_sum_assignment(part.view(cost.shape).numpy())
        pairs.append((torch.from_numpy(queries), torch.from_numpy(objects)))
    return pairs
