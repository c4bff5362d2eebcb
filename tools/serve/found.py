"""Results of images, kept for a while under names that nobody can guess."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST = 64
_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model's result for one image.

    Attributes:
        name: of the image's file.
        path: of the image, in the folder of the process.
        size: (height, width) of the image, px.
        input_size: (height, width) that the network was given, px.
        result: of the task's kind, in the frame of the image.
        seconds: what resizing, network and results took.
    """

    name: str
    path: Path
    size: tuple[int, int]
    input_size: tuple[int, int]
    result: Any
    seconds: float


class FoundTable:
    """Results by a random name each, so that who was not given it has no way to them.

    The oldest makes room for the newest; its image is removed.

    Args:
        most: results that are kept.
        seconds: how long they are kept after they were last asked for.
        clock: gives seconds.
    """

    def __init__(
        self,
        *,
        most: int = _MOST,
        seconds: float = _SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._entries: OrderedDict[str, tuple[float, Found]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, found: Found) -> str:
        """Keep a result; gives its name."""
        name = secrets.token_urlsafe(18)
        with self._lock:
            self._entries[name] = (self._clock(), found)
            self._make_room()
        return name

    def get(self, name: str) -> Found:
        """The result of that name.

        Raises:
            KeyError: there is none, or it is not kept any more.
        """
        with self._lock:
            self._make_room()
            _, found = self._entries[name]
            self._entries[name] = (self._clock(), found)
            self._entries.move_to_end(name)
        return found

    def remove(self, name: str) -> None:
        """Forget a result; one that is not there, too."""
        with self._lock:
            if name in self._entries:
                self._forget(name)

    def _make_room(self) -> None:
        oldest = self._clock() - self._seconds
        while self._entries:
            name, (used, _) = next(iter(self._entries.items()))
            if len(self._entries) <= self._most and used >= oldest:
                break
            self._forget(name)

    def _forget(self, name: str) -> None:
        _, found = self._entries.pop(name)
        found.path.unlink(missing_ok=True)
