"""A training in a process of its own: what goes wrong there is told here."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from compared_runs import tiny_plan

from swin_dense.tools.compare import processes
from swin_dense.tools.compare.processes import train_apart
from swin_dense.tools.training.options import Options


class _Context:
    """A context of processes whose process is a function here; it may end without an answer."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status

    def set_forkserver_preload(self, names: list[str]) -> None:
        for name in names:
            __import__(name)

    Pipe = staticmethod(multiprocessing.Pipe)

    def Process(self, *, target: Any, args: Any) -> Any:
        context = self

        class Process:
            exitcode = context.status

            def start(self) -> None:
                if context.status is None:
                    target(*args)

            def join(self) -> None:
                pass

        return Process()


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return tiny_plan(tmp_path, tmp_path, num_seeds=1).runs[0].options


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (None, None, ""),
        (ValueError("losses must be finite"), ValueError, "^losses must be finite$"),
        (FileNotFoundError(2, "No such file", "a.jpg"), ValueError, "No such file.*a.jpg"),
        (KeyError("a bug"), RuntimeError, "a bug"),
    ],
)
def test_an_error_there_is_an_error_here(
    error: Exception | None,
    kind: type[Exception] | None,
    message: str,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(given: Options) -> None:
        assert given == options
        if error is not None:
            raise error

    monkeypatch.setattr(processes, "train", train)
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)
    monkeypatch.setattr(multiprocessing, "get_context", lambda name: _Context())
    if kind is None:
        train_apart(options)
        return
    with pytest.raises(kind, match=message):
        train_apart(options)


@pytest.mark.parametrize(
    ("status", "message"),
    [(-9, "its process was killed by SIGKILL; the machine may be short"), (3, "with status 3")],
)
def test_a_process_that_ends_without_an_answer_is_told(
    status: int, message: str, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda name: _Context(status))
    with pytest.raises(ValueError, match=message):
        train_apart(options)


def test_a_signal_is_passed_on_and_ends_the_comparison(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _Context()

    def train(given: Options) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(processes, "train", train)
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)
    monkeypatch.setattr(multiprocessing, "get_context", lambda name: context)
    with pytest.raises(KeyboardInterrupt):
        train_apart(options)


@pytest.mark.slow
def test_a_process_of_its_own_tells_what_is_wrong(options: Options) -> None:
    with pytest.raises(ValueError, match=r"train"):
        train_apart(options)  # its data are an empty folder
