"""Predicting as in eval mode, whatever the mode of the model."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch to eval mode for a while; each part gets its own mode back."""
    training = [module for module in model.modules() if module.training]
    if training:  # else leave in place what is kept in eval mode
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
