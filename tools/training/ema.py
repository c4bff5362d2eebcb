"""A running mean of the weights (EMA), which often scores higher than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ModelEMA:
    """Exponential mean of a model's parameters; buffers such as BatchNorm's stay the model's.

    The numbers are those of `torch.optim.swa_utils.AveragedModel`, which is not used itself: it
    makes the host wait for the GPU at every update, and cannot copy a sharded model.

    Args:
        model: whose parameters to average, on its device; the mean starts at them.
        decay: share of the old mean at each update, in 0..1.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self._parameters = dict(model.named_parameters())
        self._means = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items()
        }
        self._move = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(self) -> None:
        """Bring the mean up to the weights after a step."""
        self._move(list(self._means.values()), list(self._parameters.values()), 0)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the mean as its weights for a while; what it then learns is kept."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            value = parameter.detach().clone()
            parameter.copy_(self._means[name])
            self._means[name].copy_(value)
