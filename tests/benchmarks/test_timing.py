"""Time of candidates in turn and of parts, on a clock that the tests set."""

from types import SimpleNamespace

import pytest
from measuring import timing
from measuring.timing import Part, PartClock, time_in_turn


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self, device: object = None) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "read_clock", clock.read)
    return clock


def test_candidates_take_turns_and_medians_leave_out_the_warmup(clock: Clock) -> None:
    calls = []
    slow, fast = iter([50.0, 3.0, 4.0, 90.0]), iter([50.0, 1.0, 2.0, 2.0])

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        clock.pass_by(seconds)

    candidates = {"slow": lambda: run("slow", next(slow)), "fast": lambda: run("fast", next(fast))}
    assert time_in_turn(candidates, rounds=3) == {"slow": 4.0, "fast": 2.0}
    assert calls == ["slow", "fast"] * 4


def test_a_part_has_no_time_of_the_parts_it_calls(clock: Clock) -> None:
    parts = PartClock(["outer", "inner"])
    inner = parts.timed("inner", lambda: clock.pass_by(2.0))

    def work() -> str:
        clock.pass_by(1.0)
        inner()
        clock.pass_by(4.0)
        inner()
        return "done"

    clock.pass_by(100.0)
    assert parts.timed("outer", work)() == "done"
    assert parts.seconds == {"outer": 5.0, "inner": 4.0}


def test_a_part_that_fails_ends_its_time(clock: Clock) -> None:
    parts = PartClock(["part"])

    def fail() -> None:
        clock.pass_by(1.0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        parts.timed("part", fail)()
    clock.pass_by(10.0)
    parts.timed("part", lambda: clock.pass_by(1.0))()
    assert parts.seconds == {"part": 2.0}


def test_functions_are_watched_where_they_are_called_and_then_as_before(clock: Clock) -> None:
    owner = SimpleNamespace(work=lambda seconds: clock.pass_by(seconds))
    before = owner.work
    parts = PartClock(["part"])
    with parts.watch([Part("part", owner, "work")]):
        owner.work(3.0)
    owner.work(5.0)
    assert owner.work is before
    assert parts.seconds == {"part": 3.0}


def test_a_part_that_is_not_there_is_an_error() -> None:
    with (
        pytest.raises(AttributeError, match="gone"),
        PartClock(["part"]).watch([Part("part", SimpleNamespace(), "gone")]),
    ):
        pass
