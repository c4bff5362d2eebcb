"""Hostile inputs by the hundred: `python tests/fuzz.py --cases 1000 --seed 0`.

Every case is a command line, run by a worker that has imported everything already. What must not
happen: a traceback, an exit status other than 0 and 2, an error that is not one line, a worker that
is silent for 20 s, gigabytes of memory, anything in an input that runs, a control character or a
mark for the order of letters in what is shown, and an input that is wrong and taken.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from hostile.cases import CANARY, Case
from hostile.families import FAMILIES
from hostile.material import make_material

from swin_dense.tools.printable import printable

_LONGEST = 20.0  # s of a case
_START = 120.0  # s of a worker's start
_MEMORY = 3.0  # GB that a case may need beyond what the worker has


@dataclass(frozen=True)
class Result:
    """A case, what is wrong with its answer ("" for nothing), and the end of what it showed."""

    number: int
    case: Case
    fault: str
    shown: str

    def __str__(self) -> str:
        words = " ".join(map(repr, self.case.words))
        verdict = self.fault or "well"
        head = f"case {self.number}, {self.case.family}: {verdict}"
        return f"{head}\n  {words[:600]}\n  {self.shown}"


def run_cases(cases: int, seed: int, folder: Path) -> Iterator[Result]:
    """Draw cases, the same for the same seed, and try each.

    Args:
        cases: how many; families take turns.
        seed: of all that is drawn.
        folder: an empty one for the inputs; each case's are deleted behind it.

    Yields:
        What came of each case.
    """
    material = folder / "material"
    make_material(material)
    worker = _Worker()
    try:
        for number in range(cases):
            draw = random.Random(f"{seed} {number}")
            place = folder / f"case_{number}"
            place.mkdir()
            case = FAMILIES[number % len(FAMILIES)](draw, material, place)
            answer = worker.run(case.words)
            fault = _find_fault(case, answer, place)
            shown = json.dumps(str(answer.get("stderr", ""))[-1500:]) if answer else ""
            yield Result(number, case, fault, shown)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        worker.stop()


def _find_fault(case: Case, answer: dict[str, Any] | None, folder: Path) -> str:
    if (folder / CANARY).exists():
        return "something in the input was run"
    if answer is None:
        return f"no answer within {_LONGEST:.0f} s, or the process died"
    shown = answer["stdout"] + answer["stderr"]
    pages = [page.read_text(errors="replace") for page in folder.rglob("*.html")]
    for text in (shown, *pages):
        if raw := {
            letter for line in text.split("\n") for letter in line if printable(letter) != letter
        }:
            return f"shown raw: {sorted(map(ascii, raw))}"
    if answer["traceback"]:
        return f"a traceback: {answer['traceback'][-1500:]}"
    if answer["status"] not in (0, 2):
        return f"exit status {answer['status']}"
    if answer["gigabytes"] > _MEMORY:
        return f"{answer['gigabytes']:.1f} GB of memory"
    if answer["status"] == 2:
        errors = [line for line in answer["stderr"].split("\n") if line.startswith("error: ")]
        if len(errors) != 1 or not answer["stderr"].endswith(errors[0] + "\n"):
            return "the error is not one line at the end"
        if len(errors[0]) < 20:
            return "the error says nothing"
    if case.is_wrong and answer["status"] == 0:
        return "it is wrong and was taken"
    if printable(case.names) not in shown:
        return f"{case.names} is not named"
    return ""


class _Worker:
    """A process that runs command lines, one after the other, and starts anew when one kills it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str]) -> dict[str, Any] | None:
        """The answer to a command line; None where there is none in time."""
        if self._process is None:
            command = [sys.executable, __file__, "--worker"]
            environment = os.environ | {"COLUMNS": "200", "CUDA_VISIBLE_DEVICES": ""}
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                start_new_session=True,
            )
            if self._read(_START) is None:
                raise RuntimeError("the worker does not start")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._read(_LONGEST)
        if answer is None:
            self.stop()
        return answer

    def stop(self) -> None:
        """End the process and those that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def _read(self, seconds: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


def _work() -> None:
    """Answer each line of stdin, a command line in JSON, by a line of what came of it."""
    from swin_dense.tools import cli
    from swin_dense.tools.training import run  # noqa: F401  all that commands import

    answers = os.fdopen(os.dup(1), "w")
    limit = (
        24 << 30
    )  # bytes of addresses; an allocation beyond fails instead of filling the machine
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"status": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(cli.main, json.loads(line))), file=answers, flush=True)


def _answer(main: Any, words: list[str]) -> dict[str, Any]:
    trace, before = "", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("stdout", "stderr")]
        kept = [os.dup(1), os.dup(2)]
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, path in enumerate(paths, start=1):
            file = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.dup2(file, descriptor)
            os.close(file)
        try:
            status: Any = main(words)
        except SystemExit as stop:
            status = stop.code or 0
        except BaseException:
            status, trace = 1, traceback.format_exc()
        finally:
            with contextlib.suppress(ValueError, OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            for descriptor, copy in enumerate(kept, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)
        stdout, stderr = (path.read_bytes().decode("utf-8", "surrogateescape") for path in paths)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gigabytes = (after - before) * 1024 / 1e9
    return {
        "status": status,
        "stdout": stdout,
        "stderr": stderr,
        "traceback": trace,
        "gigabytes": gigabytes,
    }


def main() -> int:
    """Run a long fuzz and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="print the cases that went well, too")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work()
        return 0
    tried: Counter[str] = Counter()
    findings = 0
    with tempfile.TemporaryDirectory() as folder:
        for result in run_cases(options.cases, options.seed, Path(folder)):
            tried[result.case.family] += 1
            findings += bool(result.fault)
            if result.fault or options.all:
                print(result, flush=True)
    counts = ", ".join(f"{count} {family}" for family, count in tried.items())
    print(f"{sum(tried.values())} cases ({counts}): {findings} went wrong")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
