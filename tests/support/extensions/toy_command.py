"""A command from outside, as the text of its file."""

COMMAND = '''"""`swin-dense count`: the number of files of each kind in a folder."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Options:
    """Count the files of a folder by their suffix."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder to look through."""
    hidden: bool = False
    """Count files whose name begins with a dot, too."""


def run(options: Options) -> None:
    """Print a line for each suffix."""
    for suffix, number in count(options.folder, hidden=options.hidden).items():
        print(f"{number:6} {suffix}")


def count(folder: Path | str, *, hidden: bool = False) -> Counter[str]:
    """Number of files by suffix; raises FileNotFoundError where there is no such folder."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return Counter(path.suffix for path in files if hidden or path.name[0] != ".")
'''
