"""Output folders, checked before the work starts, and files that are whole or not there."""

import fcntl
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCK_FILE = ".lock"  # stays in the folder of a run
_URL = re.compile(r"(https?|ftp|s3|gs):/{1,2}(.+)", re.IGNORECASE | re.DOTALL)


def refuse_url(text: str) -> None:
    """Refuse an address where a path is asked for.

    Raises:
        ValueError: it is one; a path that was made of it, with one slash less, counts too.
    """
    if found := _URL.fullmatch(text):
        raise ValueError(
            f"{found[1]}://{found[2]} is a URL, which is not fetched; download it first and give "
            "its path"
        )


def make_writable(folder: Path) -> Path:
    """Make an output folder and see that files can be written into it.

    Raises:
        ValueError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"the output folder must be writable, got {folder}: {error}") from error
    return folder


def make_file_writable(path: Path) -> Path:
    """See that a file of results can be written, before the work that gives them.

    Raises:
        ValueError: its folder cannot be made or written to, or it is a folder itself.
    """
    make_writable(path.parent)
    if path.is_dir():
        raise ValueError(f"the output file must not be a folder, got {path}")
    return path


def check_folder(path: Path, *, flag: str) -> None:
    """See that a folder that a flag names is there.

    Raises:
        FileNotFoundError: there is none.
    """
    if not path.is_dir():
        fault = "not a folder" if path.exists() else "no such folder"
        raise FileNotFoundError(f"{flag} must be a folder, got {path}: {fault}")


def atomic_write(path: Path, text: str) -> None:
    """Write a text file beside its final name and rename it: it is never seen half written."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside its final name and rename it; nan and inf become null."""
    atomic_write(path, json.dumps(finite_or_none(content), indent=1) + "\n")


def finite_or_none(value: Any) -> Any:
    """The same nested dicts and lists with None for nan and inf, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_held: set[Path] = set()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a run's folder to this process; a kill gives it free.

    The lock belongs to the process (POSIX): workers that outlive a killed run do not hold it. Such
    locks do not part one user from another inside a process, which is noted apart.

    Raises:
        ValueError: a live run uses it.
    """
    path = (folder / LOCK_FILE).resolve()
    message = f"{folder} is in use by a live run; choose another --out"
    if path in _held:
        raise ValueError(message)
    if path.exists() and not path.is_file():  # opening a pipe would wait without end
        raise ValueError(f"{path} must be an ordinary file; choose another --out")
    with path.open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise ValueError(message) from error
        _held.add(path)
        try:
            yield
        finally:
            _held.remove(path)


class UniqueNames:
    """Paths in a folder; two inputs of one name do not overwrite each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claimed: set[Path] = set()

    def claim(self, name: str, suffixes: tuple[str, ...]) -> Path:
        """A path not given before; the first of `suffixes` unless the name has one of them."""
        path = self._folder / name
        if path.suffix.lower() not in suffixes:
            path = path.with_suffix(suffixes[0])
        stem, number = path.stem, 1
        while path in self._claimed:
            number += 1
            path = path.with_stem(f"{stem}_{number}")
        self._claimed.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
