"""Decisions that every process of a training must take alike."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


class ProcessFlags:
    """Makes a flag that any process raises known to all processes.

    The hosts exchange their flags among themselves (gloo) while a step is computed: nobody waits
    for a GPU. With several processes a flag is therefore known one step later, to all at once.

    Args:
        num_processes: that take part; each must call `sync_flags` at every step.
    """

    def __init__(self, num_processes: int) -> None:
        self._group: Any = distributed.new_group(backend="gloo") if num_processes > 1 else None
        self._under_way: tuple[distributed.Work, Tensor] | None = None

    def sync_flags(self, raised: Sequence[bool]) -> list[bool]:
        """Give the flags that this process raises; get those that any raised, each once."""
        if self._group is None:
            return list(raised)
        known = [False] * len(raised)
        if self._under_way is not None:
            work, answers = self._under_way
            work.wait()
            known = answers.bool().tolist()
        news = [flag and not is_known for flag, is_known in zip(raised, known, strict=True)]
        sent = torch.tensor(news, dtype=torch.uint8)
        started = distributed.all_reduce(
            sent, op=distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        assert started is not None  # it would be, for a process outside the group
        self._under_way = started, sent
        return known
