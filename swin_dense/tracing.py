"""Modules that symbolic tracers take as one node.

torch.fx (Reed et al. 2022) runs a forward on stand-ins for tensors, which have no sizes; what plans
windows by the size cannot be traced through.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor
from torch.fx import Proxy

Forward = TypeVar("Forward", bound=Callable[..., Tensor])


def one_node(forward: Forward) -> Forward:
    """Make a module one node of a symbolic trace, under the module's name.

    Tracers of every kind see it so, without being told which modules they must not enter. Without a
    tracer nothing changes.

    Args:
        forward: of a module; all its inputs are tensors.
    """

    @functools.wraps(forward)
    def call(module: Any, tensor: Tensor) -> Tensor:
        if isinstance(tensor, Proxy):
            name = tensor.tracer.path_of_module(module)
            return tensor.tracer.create_proxy("call_module", name, (tensor,), {})
        return forward(module, tensor)

    return call  # type: ignore[return-value]
