"""Decisions that every process of a training must take alike."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


class ProcessFlags:
    """Makes known to all processes what any of them wishes.

    The hosts exchange their wishes among themselves (gloo) while a step is computed: nobody waits
    for a GPU. With several processes a wish is therefore known one step later, to all at once.

    Args:
        num_processes: that take part; each must make an agreement and sync_flags it at every step.
    """

    def __init__(self, num_processes: int) -> None:
        self._group: Any = distributed.new_group(backend="gloo") if num_processes > 1 else None
        self._under_way: tuple[distributed.Work, Tensor] | None = None

    def sync_flags(self, wishes: Sequence[bool]) -> list[bool]:
        """Say what this process wishes; get what any wished, each wish once."""
        if self._group is None:
            return list(wishes)
        known = [False] * len(wishes)
        if self._under_way is not None:
            work, answers = self._under_way
            work.wait()
            known = answers.bool().tolist()
        news = [wish and not is_known for wish, is_known in zip(wishes, known, strict=True)]
        asked = torch.tensor(news, dtype=torch.uint8)
        started = distributed.all_reduce(
            asked, op=distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        assert started is not None  # it would be, for a process outside the group
        self._under_way = started, asked
        return known
