"""Progress of an extraction: images, images a second, time to go."""

from collections.abc import Callable
from itertools import pairwise

from swin_dense.tools.features.pipeline import Progress
from swin_dense.tools.features.plan import in_bytes


class ProgressLine:
    """Adds up reports of an engine; `str` gives the line.

    Args:
        num_images: that are to be done.
        clock: gives the time, s.
    """

    def __init__(self, num_images: int, *, clock: Callable[[], float]) -> None:
        self._total, self._clock = num_images, clock
        self._begin = clock()
        self._images = self._errors = self._bytes = 0

    def add(self, report: Progress) -> None:
        """Count what was done since the last report."""
        self._images += report.num_images
        self._errors += report.num_errors
        self._bytes += report.num_bytes

    def __str__(self) -> str:
        seconds = max(self._clock() - self._begin, 1e-9)
        rate = self._images / seconds
        parts = [
            f"{self._images:,} of {self._total:,} images",
            f"{rate:.3g} images/s",
            f"{in_bytes(self._bytes)} written",
        ]
        if 0 < self._images < self._total:
            parts.insert(2, f"{in_time((self._total - self._images) / rate)} to go")
        if self._errors:
            parts.append(f"{self._errors:,} without features")
        return ", ".join(parts)


def in_time(seconds: float) -> str:
    """A duration in its two largest units: `3 d 4 h`, `12 min 5 s`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    whole = round(seconds)
    for (name, length), (next_name, next_length) in pairwise(units):
        if whole >= length:
            return f"{whole // length} {name} {whole % length // next_length} {next_name}"
    return f"{whole} s"
