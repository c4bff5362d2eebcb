"""Weighted sums of rows of a table, on the CPU.

Torch's `embedding_bag` is fast, but the gradient of its table takes ten times as long as the sums:
it sorts all indices and adds row by row. The sums are the product of a sparse matrix with the
table, so the gradient is that of its transpose with the sums' gradient, for which scipy needs about
as long as the sums take.
"""

from typing import Any

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable


def sum_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Add up some rows of a table, each with its weight.

    Args:
        table: `(N, D)` float32 or float64, on the CPU.
        rows: `(M, n)` int32 or int64 in 0..N-1: for each result the rows that go into it.
        weights: `(M, n)` of each of them, in the table's type.

    Returns:
        `(M, D)`; gradients reach the table and the weights, once.
    """
    if not (torch.is_grad_enabled() and table.requires_grad):
        return F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
    sums = F.embedding_bag(rows, table.detach(), per_sample_weights=weights, mode="sum")
    passed: Tensor = _TableGradient.apply(sums, table, rows, weights.detach())
    return passed


class _TableGradient(torch.autograd.Function):
    """Passes the sums on, and of their gradient to the table."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.num_rows = len(table)
        return sums.view_as(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        rows, weights = ctx.saved_tensors
        ends = torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=torch.int32)
        matrix = csr_matrix(
            (weights.flatten().numpy(), rows.flatten().numpy(), ends.numpy()),
            shape=(len(rows), ctx.num_rows),
            copy=False,
        )
        return gradient, torch.from_numpy(matrix.T @ gradient.numpy()), None, None
