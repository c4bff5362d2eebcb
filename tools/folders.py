"""Output folders, checked before the work starts."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a run's folder to this process; a kill gives it free.

    Raises:
        ValueError: a live run uses it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"{folder} is in use by a live run; choose another --out") from error
        yield


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
