"""Modules that symbolic tracers take as one node.

torch.fx (Reed et al. 2022) runs a forward on stand-ins for tensors, which have no sizes; what plans
windows by the size cannot be traced through.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch.fx import Proxy, Tracer

Forward = TypeVar("Forward", bound=Callable[..., Any])


def one_node(forward: Forward) -> Forward:
    """Make a module one node of a symbolic trace, under the module's name.

    Tracers of every kind see it so, without being told which modules they must not enter. Without a
    tracer nothing changes.

    Args:
        forward: of a module; its inputs are tensors or what such modules give.
    """

    @functools.wraps(forward)
    def call(module: Any, *inputs: Any) -> Any:
        first = inputs[0]
        if isinstance(first, Proxy):
            tracer = cast(Tracer, first.tracer)
            return tracer.create_proxy("call_module", tracer.path_of_module(module), inputs, {})
        return forward(module, *inputs)

    return call  # type: ignore[return-value]
