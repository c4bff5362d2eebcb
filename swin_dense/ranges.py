"""Ranges of the numbers in configs and flags, checked before any of them reaches an allocation.

A dataclass declares them beside its fields, `ranges: ClassVar[Ranges] = {"depths": (1, 1000)}`, for
each number of the field; ranges of the classes that it inherits from hold too. Without one, a
number must be finite and of at most 32 bits.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

Range = tuple[float, float]
Ranges = Mapping[str, Range]

LENGTHS: Range = (1, 32768)  # of the side of an image, px
SMALLEST_SIDE, LARGEST_SIDE = 32, 4096
"""Sides of images that exported graphs take, px."""
_ANY: Range = (-(2**31), 2**31 - 1)
_LONGEST = 1000  # numbers in one field


def check_ranges(config: Any, *, path: str = "", as_flags: bool = False) -> None:
    """Check every number of a dataclass, and of the dataclasses in it.

    Args:
        config: the dataclass.
        path: of the config in another, with a dot behind it, for messages.
        as_flags: name fields as the command line does.

    Raises:
        ValueError: a number is nan, infinite or out of its range, or a field has too many numbers.
    """
    ranges: dict[str, Range] = {}
    for kind in reversed(type(config).__mro__):
        ranges |= vars(kind).get("ranges", {})
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            check_ranges(value, path=f"{name}.", as_flags=as_flags)
            continue
        lowest, highest = ranges.get(field.name, _ANY)
        shown = f"--{name.replace('_', '-')}" if as_flags else name
        numbers = list(_numbers(value))
        if len(numbers) > _LONGEST:
            raise ValueError(f"{shown} must have at most {_LONGEST} numbers, got {len(numbers)}")
        for number in numbers:
            if not (lowest <= number <= highest and math.isfinite(number)):
                raise ValueError(
                    f"{shown} must be in {lowest:.15g}..{highest:.15g}, got {_shorten(number)}"
                )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _shorten(number: float) -> str:
    """The number; one of thousands of digits has no place in a message."""
    if isinstance(number, int) and number.bit_length() > 256:
        return f"a number of {number.bit_length()} bits"
    return str(number)
