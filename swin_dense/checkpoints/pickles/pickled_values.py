"""The plain data that stands for the values of a pickle: arrays, tensors, remains of objects."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch

_MAX_NAME = 120  # characters of a foreign name that an error message repeats


class PickleFault(ValueError):
    """A fault of a pickle; the reader of the file adds the file's name."""


def brief(value: object) -> str:
    """A value as messages show it: short text and small numbers, of anything else its kind.

    The pickle's author chooses the value: the `repr` of lists that hold each other many times would
    never end.
    """
    if isinstance(value, str):
        return repr(value[:_MAX_NAME])
    if isinstance(value, float | None) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return f"a {type(value).__name__}"


@dataclass(frozen=True)
class StorageRecord:
    """A block of values of a torch file: which one, of which type, and how many values."""

    key: str
    dtype: torch.dtype
    num_values: int
    root: str  # the block that holds the values: `key`, or another one if this is a part of it
    root_offset: int  # values


@dataclass(frozen=True)
class TensorRecord:
    """A tensor of a torch file: a strided view of a block of values."""

    storage: StorageRecord
    offset: int  # values
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass
class ArrayRecord:
    """A NumPy array of a pickle; filled when its state arrives."""

    shape: tuple[int, ...] = ()
    dtype: str | None = None
    values: bytes | None = None
    column_major: bool = False

    def to_numpy(self) -> np.ndarray:
        """A copy in this machine's byte order; raises `PickleFault` if it never got its values."""
        if self.dtype is None or self.values is None:
            raise PickleFault("a NumPy array has no plain values (an array of objects?)")
        try:
            flat = np.frombuffer(self.values, dtype=self.dtype)
        except ValueError as error:
            raise PickleFault(f"damaged pickle (a NumPy array: {error})") from error
        num_values = int(np.prod(self.shape, dtype=object)) if self.shape else 1
        if len(flat) != num_values:
            raise PickleFault(f"a NumPy array of shape {self.shape} has {len(flat)} values")
        native = flat.astype(flat.dtype.newbyteorder("="))
        return native.reshape(self.shape, order="F" if self.column_major else "C")


@dataclass
class Inert:
    """The remains of an object of a known class that is of no use here."""

    kind: str
    state: object = None


def parts_of(value: object) -> Collection[object]:
    """The values that a value of a pickle holds; none for what is no container."""
    if isinstance(value, Inert):
        return (value.state,)
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
