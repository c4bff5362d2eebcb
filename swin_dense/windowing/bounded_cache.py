"""A cache of what is costly to make, bounded in bytes.

`functools.lru_cache` counts values. Plans of windows grow with the images, and in training on
images of many sizes there is no end of them; so their bytes are counted.
"""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """The values that were used last, as many as fit; threads may share it.

    Args:
        max_values: how many are kept.
        max_bytes: of all that are kept; a larger value is not kept at all.
    """

    def __init__(self, *, max_values: int, max_bytes: int) -> None:
        self._max_values = max_values
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()  # the oldest first
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes of all that are kept."""
        return self._num_bytes

    def get(self, key: Key) -> Value | None:
        """The value kept under a key, if there is one."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: Key, value: Value, *, num_bytes: int) -> None:
        """Keep a value; those that were not used for longest go."""
        with self._lock:
            self._drop(key)
            if num_bytes > self._max_bytes:
                return
            self._kept[key] = value, num_bytes
            self._num_bytes += num_bytes
            while len(self._kept) > self._max_values or self._num_bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        if key in self._kept:
            self._num_bytes -= self._kept.pop(key)[1]
