"""The part of a result that is shown: the sliders and switches of the page."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The part of a result that is shown.

    Attributes:
        threshold: smallest score of what is shown, 0..1.
        hidden: labels that are switched off.
        opacity: of the colours of a label map, 0..1.

    Raises:
        ValueError: a number is not in its range.
    """

    threshold: float
    hidden: frozenset[int] = frozenset()
    opacity: float

    def __post_init__(self) -> None:
        for name in ("threshold", "opacity"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"{name} must be in 0..1, got {value}")


def read_choice(query: Mapping[str, str], default: Choice) -> Choice:
    """The choice that an address asks for: `?threshold=0.5&hidden=3,7&opacity=0.4`.

    Args:
        query: text by name.
        default: for what is not in it.

    Raises:
        ValueError: a value is no number, or not in its range.
    """
    try:
        hidden = query.get("hidden", "")
        return Choice(
            threshold=float(query.get("threshold", default.threshold)),
            hidden=frozenset(int(label) for label in hidden.split(",") if label),
            opacity=float(query.get("opacity", default.opacity)),
        )
    except ValueError as error:
        raise ValueError(
            "address must have numbers in 0..1 as threshold and opacity, and labels with commas "
            f"between them as hidden, got {dict(query)}"
        ) from error
