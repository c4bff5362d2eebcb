"""Memory of this process (Linux), MiB."""

import contextlib
import re
from pathlib import Path

_PROCESS = Path("/proc/self")


def resident_memory() -> float:
    """MiB that this process holds now."""
    return _read("VmRSS")


def peak_memory() -> float:
    """MiB that this process has held at most since `reset_peak_memory`, or since its start.

    Not getrusage's, which counts the process that started this one as well.
    """
    return _read("VmHWM")


def reset_peak_memory() -> None:
    """Count the peak anew from now on; where the system cannot, it stays that since the start."""
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")  # proc(5): the peak becomes what is held now


def available_memory() -> float:
    """MiB that new work can have before the system runs short."""
    return _find(Path("/proc/meminfo").read_text(), "MemAvailable")


def _read(name: str) -> float:
    return _find((_PROCESS / "status").read_text(), name)


def _find(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, flags=re.MULTILINE)
    assert found is not None, f"no {name}"
    return int(found[1]) / 2**10
