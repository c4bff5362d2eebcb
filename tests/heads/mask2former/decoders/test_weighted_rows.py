"""Weighted sums of rows, and their gradients, against a plain gather."""

import pytest
import torch
from torch import Tensor

from swin_dense.heads.mask2former.decoders.weighted_rows import sum_rows


def draw(generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A table of nine rows of which two are never asked for, rows and weights."""
    table = torch.randn(9, 5, generator=generator, dtype=dtype).requires_grad_()
    rows = torch.randint(1, 8, (6, 4), generator=generator, dtype=torch.int32)
    weights = torch.randn(6, 4, generator=generator, dtype=dtype).requires_grad_()
    return table, rows, weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_and_gradients_are_those_of_a_gather(
    generator: torch.Generator, dtype: torch.dtype
) -> None:
    table, rows, weights = draw(generator, dtype)
    plain = (table[rows.long()] * weights[..., None]).sum(1)
    found = sum_rows(table, rows, weights)
    torch.testing.assert_close(found, plain)
    expected = torch.autograd.grad((plain**2).sum(), (table, weights))
    gradients = torch.autograd.grad((found**2).sum(), (table, weights))
    torch.testing.assert_close(gradients, expected)


def test_a_gradient_that_is_no_array_of_its_own_is_taken(generator: torch.Generator) -> None:
    table, rows, weights = draw(generator, torch.float32)
    sum_rows(table, rows, weights).sum().backward()  # an expanded one
    expected = torch.zeros(9).index_add(0, rows.flatten().long(), weights.detach().flatten())
    torch.testing.assert_close(table.grad, expected[:, None].expand(9, 5))


def test_only_what_wants_a_gradient_gets_one(generator: torch.Generator) -> None:
    table, rows, weights = draw(generator, torch.float32)
    assert not sum_rows(table.detach(), rows, weights.detach()).requires_grad
    (gradient,) = torch.autograd.grad(sum_rows(table, rows, weights.detach()).sum(), table)
    assert not gradient[[0, 8]].any()
    with torch.no_grad():
        assert not sum_rows(table, rows, weights).requires_grad
