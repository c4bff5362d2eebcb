"""A temporary folder that goes with its process, however that ends.

It is removed when the process ends or is stopped. What a process leaves that was killed, the next
one to start removes: each folder holds a file that its process has locked (`flock`), and the system
gives that lock free when the process is gone.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

_PREFIX = "swin-dense-serve-"
_LOCK = ".lock"
_TRIES = 20  # at removing a folder into which an upload still writes
_PAUSE = 0.05  # s


class ProcessFolder:
    """Context manager: a folder of this process, that only its user can read.

    Args:
        parent: of the folder; None: the system's for temporary files.

    Attributes:
        path: of the folder, once the context is entered.
    """

    path: Path

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir() if parent is None else parent).resolve()
        self._lock: IO[str] | None = None

    def __enter__(self) -> "ProcessFolder":
        remove_left(self._parent)
        # Under another name until it is locked: else a process that starts now could remove it.
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=self._parent))
        self._lock = (made / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = made.rename(made.with_name(made.name[1:]))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder and all in it; again, nothing."""
        for _ in range(_TRIES):
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                break
            time.sleep(_PAUSE)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def remove_left(parent: Path) -> None:
    """Remove the folders of this user's processes that are no more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another process removes it, or somebody else's
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
