"""Calls that torch.compile does not look into.

Both doors import its compiler, which takes a second; so this file is imported where the compiler is
at work already.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

R = TypeVar("R")


@torch.compiler.disable
def call_untraced(function: Callable[..., R], *arguments: object) -> R:
    """Call a function each time, outside of what is compiled."""
    return function(*arguments)


@torch.compiler.assume_constant_result
def call_for_constant(function: Callable[..., R], *arguments: object) -> R:
    """Call a function while compiling; what it gives then is a constant of what is compiled."""
    return function(*arguments)
