"""Scores as a page writes them: in percent, in points, counts in short."""

from swin_dense.tools.tasks.scores import ABSENT, in_percent

__all__ = ["ABSENT", "in_percent", "in_points", "in_short"]

_MINUS = "\N{MINUS SIGN}"


def in_points(difference: float | None) -> str:
    """A difference of two scores with its sign: `+1.2`, `-0.4`, `0.0`."""
    if difference is None:
        return ABSENT
    text = f"{abs(100 * difference):.1f}"
    if float(text) == 0:
        return text
    return f"+{text}" if difference > 0 else f"{_MINUS}{text}"


def in_short(count: int) -> str:
    """`1234`, `56.8 k`, `1.2 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 10_000 and count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)
