"""Time: of candidates that take turns, and of the parts of one."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch


def time_in_turn(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmups: int = 1,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Time candidates in rounds in which all run one after the other.

    What slows the machine down for a while slows all of them, and the medians leave it out.

    Args:
        candidates: by name.
        rounds: that are timed, at least 1.
        warmups: rounds before them.
        device: to wait for, if it is not the CPU.

    Returns:
        Median seconds of each.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for counted in range(-warmups, rounds):
        for name, run in candidates.items():
            start = read_clock(device)
            run()
            seconds = read_clock(device) - start
            if counted >= 0:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def read_clock(device: torch.device | None = None) -> float:
    """Seconds now, once the device has done all that it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Part(NamedTuple):
    """A function that is a part of what is timed, as the attribute by which it is called.

    Attributes:
        name: of the part; several functions may be one.
        owner: module or object that has it.
        attribute: its name there.
    """

    name: str
    owner: Any
    attribute: str


class PartClock:
    """Adds up the seconds of each part; what a part calls that is a part itself is not its own.

    Args:
        names: of the parts, in the order in which they are listed.
        device: to wait for, if it is not the CPU.

    Attributes:
        seconds: of each part until now.
    """

    def __init__(self, names: Sequence[str], device: torch.device | None = None) -> None:
        self.seconds = dict.fromkeys(names, 0.0)
        self._device = device
        self._running: list[str] = []
        self._since = 0.0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted as that of a part."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            self._running.append(name)
            try:
                return function(*arguments, **options)
            finally:
                self._count()
                self._running.pop()

        return call

    @contextmanager
    def watch(self, parts: Sequence[Part]) -> Iterator[None]:
        """Count the time of functions that others call, where they call them.

        Raises:
            AttributeError: an owner has no such attribute.
        """
        with ExitStack() as stack:
            for name, owner, attribute in parts:
                timed = self.timed(name, getattr(owner, attribute))
                stack.enter_context(mock.patch.object(owner, attribute, timed))
            yield

    def _count(self) -> None:
        now = read_clock(self._device)
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
