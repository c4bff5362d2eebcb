"""Progress where nobody watches a terminal: a line now and then, and no escape codes."""

import pytest

from swin_dense.tools.progress import ProgressLines, show_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test moves."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_line_comes_after_some_seconds_and_the_last_in_any_case(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ProgressLines()
    for count in range(1, 8):
        clock[0] += 4
        lines.show(f"{count} done")
    lines.finish()
    lines.finish()
    assert capsys.readouterr().err.splitlines() == ["3 done", "6 done", "7 done"]


def test_items_pass_unchanged_with_plain_lines(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for item in show_progress("abcd", "reading", total=4):
        clock[0] += 10
        seen.append(item)
    assert seen == list("abcd")
    printed = capsys.readouterr()
    assert printed.err == "reading 1/4\nreading 2/4\nreading 3/4\n"
    assert printed.out == ""


def test_other_processes_are_silent(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in show_progress(range(3), "reading", total=3, is_quiet=True):
        clock[0] += 60
    assert capsys.readouterr().err == ""
