"""The line that shows how far an extraction is."""

import pytest

from swin_dense.tools.features.pipeline import Progress
from swin_dense.tools.features.progress_line import ProgressLine, in_time


def test_it_tells_images_rate_time_and_bytes() -> None:
    times = iter([100.0, 110.0, 160.0, 200.0])
    line = ProgressLine(1000, clock=lambda: next(times))
    assert str(line) == "0 of 1,000 images, 0 images/s, 0 bytes written"
    line.add(Progress(num_images=20, num_errors=0, num_bytes=3_000_000))
    line.add(Progress(num_images=10, num_errors=2, num_bytes=1_500_000))
    assert str(line) == (
        "30 of 1,000 images, 0.5 images/s, 32 min 20 s to go, 4.5 MB written, 2 without features"
    )
    line.add(Progress(num_images=970, num_errors=0, num_bytes=0))
    assert str(line) == "1,000 of 1,000 images, 10 images/s, 4.5 MB written, 2 without features"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h 0 min"), (1e6, "11 d 13 h")],
)
def test_times_have_two_units(seconds: float, text: str) -> None:
    assert in_time(seconds) == text
