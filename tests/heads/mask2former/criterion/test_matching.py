"""Matching: costs by the paper's formulas, pairs that cost least."""

import torch
import torch.nn.functional as F

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.criterion.matching import match, matching_cost

CONFIG = Mask2FormerConfig(
    backbone=SWIN_VARIANTS["swin_t"], class_weight=2, mask_weight=3, dice_weight=4
)


def test_costs_are_those_of_each_pair_by_itself(generator: torch.Generator) -> None:
    class_logits = torch.randn(4, 3, generator=generator)
    logits = torch.randn(4, 10, generator=generator)
    masks = torch.rand(2, 10, generator=generator)
    labels = torch.tensor([1, 0])
    costs = matching_cost(class_logits, logits, labels, masks, CONFIG)
    for query in range(4):
        for place in range(2):
            score, mask = logits[query].sigmoid(), masks[place]
            dice = 1 - (2 * (score * mask).sum() + 1) / (score.sum() + mask.sum() + 1)
            expected = (
                -2 * class_logits[query].softmax(0)[labels[place]]
                + 3 * F.binary_cross_entropy_with_logits(logits[query], mask)
                + 4 * dice
            )
            torch.testing.assert_close(costs[query, place], expected)


def test_pairs_cost_least_together_and_queries_ascend() -> None:
    first = torch.tensor([[1.5, 2], [1, 9], [5, 0]])
    second = torch.tensor([[4.0, 1, 3]])
    pairs = match([first, second, torch.zeros(3, 0)])
    assert [(q.tolist(), g.tolist()) for q, g in pairs] == [
        ([1, 2], [0, 1]),
        ([0], [1]),
        ([], []),
    ]


def test_a_cost_that_is_not_finite_is_the_last_to_be_taken() -> None:
    ((queries, objects),) = match([torch.tensor([[torch.nan], [torch.inf], [7.0]])])
    assert (queries.tolist(), objects.tolist()) == ([2], [0])
