"""Measurements in a process of their own, within limits of time and memory.

A script starts itself again with a hidden flag and answers with `print_answer`; so neither what
the parent holds nor what an earlier measurement left behind is counted.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

# What torch, C++ and Python say when there is no more memory; -9: Linux has killed it for that.
_OUT_OF_MEMORY = ("can't allocate memory", "std::bad_alloc", "MemoryError")
_KILLED = -9


def ask_process(
    script: str,
    flags: Sequence[object],
    *,
    max_seconds: float | None = None,
    max_memory: float | None = None,
) -> Any | None:
    """Run a script in a new process and read its answer.

    Args:
        script: path.
        flags: of its command line.
        max_seconds: from its start to its end; None: any.
        max_memory: MiB that it may hold; None: any.

    Returns:
        What it gave to `print_answer`; None: it was out of time or memory.

    Raises:
        RuntimeError: it failed otherwise; the message is its last line.
    """

    def limit() -> None:
        if max_memory is not None:
            size = int(max_memory * 2**20)
            resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    command = [sys.executable, script, *map(str, flags)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=max_seconds, preexec_fn=limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if done.returncode == _KILLED or any(words in done.stderr for words in _OUT_OF_MEMORY):
        return None
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise RuntimeError(f"{script} {' '.join(map(str, flags))}: {last}")


def print_answer(answer: Any) -> None:
    """Give the process that asked numbers, lists and dicts of them."""
    print(json.dumps(answer))
