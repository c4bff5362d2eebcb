"""Progress on stderr: a bar in a terminal, else (notebooks, files) a line now and then."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import track

from swin_dense.tools.console import Console

_PAUSE = 10.0  # s between two lines
T = TypeVar("T")


class ProgressLines:
    """Lines on stderr, at most one in some seconds, and the last one in any case."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=is_quiet)
        self._shown_at = time.monotonic()
        self._waiting = ""

    def show(self, text: str) -> None:
        """Print a line, or keep it for `finish` where the last one is not long ago."""
        self._waiting = text
        if time.monotonic() - self._shown_at >= _PAUSE:
            self.finish()

    def finish(self) -> None:
        """Print the line that waits, if one does."""
        if self._waiting:
            self._console.print(self._waiting, highlight=False, soft_wrap=True)
        self._waiting = ""
        self._shown_at = time.monotonic()


def show_progress(
    items: Iterable[T], title: str, *, total: int, is_quiet: bool = False
) -> Iterator[T]:
    """The items, with a bar in a terminal that goes when they are through, else with lines.

    Args:
        items: to go through.
        title: stands before the count.
        total: number of items.
        is_quiet: show nothing.
    """
    console = Console(stderr=True, quiet=is_quiet)
    if console.is_terminal:
        yield from track(items, title, console=console, transient=True, total=total)
        return
    lines = ProgressLines(is_quiet=is_quiet)
    for number, item in enumerate(items, start=1):
        yield item
        if number < total:
            lines.show(f"{title} {number}/{total}")
