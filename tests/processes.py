"""What tests run in processes of their own.

A test file cannot be imported there by its name; this folder, which pytest puts on the path, can.
"""

from collections.abc import MutableMapping

import torch

from swin_dense.datasets.semantic_eval import SemanticEvaluator


def count_and_synchronise(rank: int, store: str, results: MutableMapping[int, object]) -> None:
    """Join the counts of two processes, of which only the first has an image."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    evaluator = SemanticEvaluator(2)
    if rank == 0:
        evaluator.update([torch.tensor([[0, 1]])], [torch.tensor([[0, 0]])])
    evaluator.synchronise()
    results[rank] = evaluator.matrix.tolist()
    torch.distributed.destroy_process_group()
