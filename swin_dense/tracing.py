"""For tracers: modules that are one node to them, and sizes that are symbols of their own.

torch.fx (Reed et al. 2022) runs a forward on stand-ins for tensors, which have no sizes; what plans
windows by the size cannot be traced through. torch.export has symbols for sizes, and formulas of
them for all that follows.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch.fx import Proxy, Tracer

_LARGEST_SIZE = 4096  # of a side that is a symbol, in px or cells
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


def own_size(size: int, *, images: int) -> int:
    """The same size, in a graph that is exported as a symbol of its own.

    All that follows is then multiples of that symbol, in place of formulas of the image's sides:
    these take a tracer and a compiler minutes, and a map of one cell would be another graph. Where
    the number of images is a symbol too, the compiler cannot divide such maps into windows.

    Args:
        size: a number, or a formula of symbols; at least 1.
        images: number of images.
    """
    if not torch.compiler.is_exporting() or not isinstance(images, int):
        return size
    least = 1
    while holds_always(size >= 2 * least):
        least *= 2
    own = cast(int, torch.full((), size, dtype=torch.int64).item())
    torch._check(own >= least)
    torch._check(own <= _LARGEST_SIZE)
    return own


def holds_always(comparison: bool) -> bool:
    """True if a comparison of sizes holds at all values of their symbols."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # imports sympy

    return statically_known_true(comparison)
