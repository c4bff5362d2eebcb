"""Ranges of the numbers in configs and flags."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from swin_dense.configs import SwinConfig
from swin_dense.ranges import Ranges, check_ranges


@dataclass(frozen=True, kw_only=True)
class _Inner:
    ranges: ClassVar[Ranges] = {"sides": (1, 10)}

    sides: tuple[tuple[int, int], ...] = ((1, 2),)


@dataclass(frozen=True, kw_only=True)
class _Outer:
    ranges: ClassVar[Ranges] = {"batch_size": (1, 256)}

    batch_size: int = 1
    factor: float = 1.0
    name: str = "1e99"
    is_on: bool = True
    inner: _Inner = field(default_factory=_Inner)


@dataclass(frozen=True, kw_only=True)
class _Heir(_Outer):
    ranges: ClassVar[Ranges] = {"factor": (0, 1)}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (_Outer(batch_size=0), "batch_size must be in 1..256, got 0"),
        (_Heir(batch_size=10**12), "batch_size must be in 1..256, got 1000000000000"),
        (_Heir(factor=1.5), "factor must be in 0..1, got 1.5"),
        (_Outer(factor=float("nan")), "factor must be in .* got nan"),
        (_Outer(factor=float("-inf")), "factor must be in .* got -inf"),
        (_Outer(factor=10**5000), "got a number of 16610 bits"),
        (_Outer(inner=_Inner(sides=((1, 2), (3, 11)))), r"inner\.sides must be in 1..10, got 11"),
        (_Outer(inner=_Inner(sides=((1, 2),) * 600)), "at most 1000 numbers, got 1200"),
    ],
)
def test_a_number_out_of_its_range_is_named_with_both_bounds(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_ranges(config)


def test_numbers_within_their_ranges_pass_and_texts_are_no_numbers() -> None:
    check_ranges(_Heir())


def test_flags_are_named_as_the_command_line_has_them() -> None:
    with pytest.raises(ValueError, match=r"--batch-size must be in 1\.\.256"):
        check_ranges(_Outer(batch_size=999), as_flags=True)


def test_a_backbone_of_a_billion_blocks_is_refused_before_it_is_built() -> None:
    with pytest.raises(ValueError, match=r"depths must be in 1\.\.1000, got 1000000000"):
        SwinConfig(depths=(2, 2, 10**9, 2))
