"""Measurements in a process of their own."""

from pathlib import Path

import pytest
from measuring import processes
from measuring.processes import ask_process

BENCHMARKS = Path(processes.__file__).parents[1]


def write_script(folder: Path, code: str) -> str:
    path = folder / "script.py"
    head = f"import sys, time\nsys.path.append({str(BENCHMARKS)!r})\n"
    path.write_text(f"{head}from measuring.processes import print_answer\n{code}\n")
    return str(path)


def test_answer_is_the_last_line(tmp_path: Path) -> None:
    script = write_script(tmp_path, 'print("progress")\nprint_answer({"flags": sys.argv[1:]})')
    assert ask_process(script, ["--size", 3]) == {"flags": ["--size", "3"]}


def test_out_of_time_is_no_answer(tmp_path: Path) -> None:
    assert ask_process(write_script(tmp_path, "time.sleep(60)"), [], max_seconds=0.3) is None


def test_out_of_memory_is_no_answer(tmp_path: Path) -> None:
    script = write_script(tmp_path, "bytearray(2**30)\nprint_answer(1)")
    assert ask_process(script, [], max_memory=200) is None
    assert ask_process(script, []) == 1


def test_killed_is_no_answer(tmp_path: Path) -> None:
    assert ask_process(write_script(tmp_path, "import os\nos.kill(os.getpid(), 9)"), []) is None


def test_any_other_failure_is_an_error_with_its_last_line(tmp_path: Path) -> None:
    script = write_script(tmp_path, 'raise ValueError("size must be 2")')
    with pytest.raises(RuntimeError, match=r"script\.py --flag: ValueError: size must be 2"):
        ask_process(script, ["--flag"])
