"""The door for files that a user names or a data set lists: an ordinary file, and text in UTF-8."""

import stat
from pathlib import Path

MAX_MEGAPIXELS = 200.0  # of an image, unless a flag sets another limit; 0.6 GB decoded
MEGAPIXELS = (1e-6, 1073.0)  # the range of that limit; OpenCV decodes up to 2**30 px
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: str | Path, kind: str) -> Path:
    """See that a path is an ordinary file before it is opened: a pipe would wait without end.

    Args:
        path: links are followed.
        kind: of file, for messages: "image file".

    Raises:
        FileNotFoundError: there is nothing of that name, or a folder.
        ValueError: it is a pipe, a socket or a device.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no {kind} {path}") from None
    except (OSError, ValueError) as error:  # too long a name, a loop of links, a zero byte
        raise ValueError(f"no {kind} can be at {path}: {error}") from error
    if stat.S_ISDIR(mode):
        raise FileNotFoundError(f"no {kind} {path}: it is a folder")
    if not stat.S_ISREG(mode):
        found = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(f"{path} must be an ordinary file, got {found} in place of the {kind}")
    return Path(path)


def read_text(path: str | Path, kind: str) -> str:
    """The content of a text file, without the mark of its byte order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ordinary file, or not UTF-8.
    """
    path = check_file(path, kind)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from error
