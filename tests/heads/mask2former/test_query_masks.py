"""Rows of masks in the frame of a result, against the released code's whole maps."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.mask2former.query_masks import QueryMasks


def make(original_size: tuple[int, int], **values: object) -> QueryMasks:
    torch.manual_seed(0)
    return QueryMasks(
        torch.randn(3, 5), torch.randn(3, 8, 16), (32, 64), (30, 50), original_size, **values
    )


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[None], size=size, mode="bilinear")[0]


@pytest.mark.parametrize("original_size", [(30, 50), (61, 43), (12, 99)])
def test_rows_are_those_of_the_whole_map(original_size: tuple[int, int]) -> None:
    masks = make(original_size)
    expected = resize(resize(masks.mask_logits, (32, 64))[:, :30, :50], original_size)
    for rows in ((0, original_size[0]), (0, 5), (7, 12)):
        found = masks.rows(masks.mask_logits, rows)
        torch.testing.assert_close(found, expected[:, slice(*rows)], rtol=1e-4, atol=1e-4)


def test_scores_are_taken_in_either_frame() -> None:
    masks = make((61, 43))
    classes = masks.class_logits.softmax(-1)[:, :-1]
    enlarged = resize(masks.mask_logits, (32, 64))[:, :30, :50]
    early = resize(torch.einsum("qk,qhw->khw", classes, enlarged.sigmoid()), (61, 43))
    late = torch.einsum("qk,qhw->khw", classes, resize(enlarged, (61, 43)).sigmoid())
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(masks.score_rows((3, 9), at_input=True), early[:, 3:9], **tolerance)
    torch.testing.assert_close(masks.score_rows((3, 9), at_input=False), late[:, 3:9], **tolerance)


def test_a_mirror_image_is_turned_back() -> None:
    plain, mirrored = make((30, 50)), make((30, 50), is_mirrored=True)
    found = mirrored.rows(mirrored.mask_logits, (0, 30))
    assert torch.equal(found, plain.rows(plain.mask_logits, (0, 30)).flip(-1))


def test_strips_cover_the_result() -> None:
    masks = make((1000, 5000))
    strips = list(masks.strips(100))
    assert strips[0][0] == 0
    assert strips[-1][1] == 1000
    assert all(first[1] == second[0] for first, second in pairwise(strips))
    assert len(strips) > 1
