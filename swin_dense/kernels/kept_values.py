"""Values made of a parameter once and kept in inference, until the parameter changes.

Such as a weight in the order in which a processor's product reads it. They stand outside the
modules, so that a forward changes none of them, and copies and files of a module hold none.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

T = TypeVar("T")

# Of each parameter its state when the values were made, and the values; an entry goes with its
# parameter.
_kept = WeakTensorKeyDictionary()


class KeepsValues(nn.Module):
    """Base class of modules of whose parameters values are kept: they know when to drop them."""

    def train(self, mode: bool = True) -> "KeepsValues":
        """Set the mode, as in `nn.Module`; what is kept is dropped."""
        drop_values(self)
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:  # moves and casts
        drop_values(self)
        return super()._apply(fn, recurse)


def can_keep(parameter: Tensor) -> bool:
    """Decide whether values of a parameter can be kept: nothing records a gradient or compiles,
    and each change of the parameter leaves a trace in its version."""
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and type(parameter) is nn.Parameter  # no stand-in of a transform
        and not parameter.is_inference()
        and not parameter.is_shared()  # with a process that may change it
    )


def kept_value(parameter: Tensor, key: Hashable, make: Callable[[], T]) -> T:
    """Value made of a parameter: made anew where the parameter has changed since.

    Args:
        parameter: one that `can_keep`. Changes through `.data` leave no trace: after them the mode
            must be set.
        key: which of the values that are made of it.
        make: makes the value.
    """
    state = (parameter.data_ptr(), parameter._version)
    entry = _kept.get(parameter)
    if entry is None or entry[0] != state:
        entry = (state, {})
        _kept[parameter] = entry
    values = entry[1]
    if key not in values:
        values[key] = make()
    return values[key]


def drop_values(module: nn.Module) -> None:
    """Drop what is kept of a module's parameters."""
    for parameter in module.parameters():
        _kept.pop(parameter, None)
