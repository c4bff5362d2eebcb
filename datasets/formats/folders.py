"""Folders as people unpack them: a single top folder, and files that no tool for data wrote."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_IGNORED = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_DEEPEST = 8  # folders in folders; a link to a folder above is followed no further


def list_folder(folder: Path) -> list["os.DirEntry[str]"]:
    """Entries of a folder without what a system or an editor left there, sorted by name."""
    with os.scandir(folder) as found:
        kept = [entry for entry in found if not is_left_by_system(entry.name)]
    return sorted(kept, key=lambda entry: entry.name)


def is_left_by_system(name: str) -> bool:
    """Tell whether a system or an editor left a file or folder of that name."""
    return name in _IGNORED or name.startswith(".")


def entries(folder: Path) -> list[Path]:
    """The entries of `list_folder` as paths."""
    return [folder / entry.name for entry in list_folder(folder)]


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [entry.name for entry in list_folder(folder) if entry.is_dir()]


def subfolders(folder: Path) -> list[Path]:
    """The folders of `list_folders` as paths."""
    return [folder / name for name in list_folders(folder)]


def top_folders(root: Path) -> Iterator[Path]:
    """The folder, the one in it where it holds nothing else (an unpacked archive), and so on."""
    yield root
    for _ in range(_DEEPEST):
        found = list_folder(root) if root.is_dir() else []
        if len(found) != 1 or not found[0].is_dir():
            return
        root = root / found[0].name
        yield root


def innermost_folder(root: Path) -> Path:
    """The last of `top_folders`."""
    *_, folder = top_folders(root)
    return folder


def walk_files(folder: Path, *, deepest: int = _DEEPEST) -> Iterator[Path]:
    """Regular files of a folder and of those in it, by name."""
    for entry in list_folder(folder):
        if entry.is_file():
            yield folder / entry.name
        elif entry.is_dir() and deepest > 0:
            yield from walk_files(folder / entry.name, deepest=deepest - 1)


def is_image_name(name: str) -> bool:
    """Tell whether a file's ending is that of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def find_images(folder: Path) -> list[Path]:
    """Images in a folder and in the folders below it, sorted by path."""
    return [path for path in walk_files(folder) if is_image_name(path.name)]


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when all is written, or goes.

    Args:
        out: a new or empty folder.

    Raises:
        ValueError: it is not.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"data are written into a new or empty folder, got {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_image(name: str, source: Path, target: Path, *, where: str) -> None:
    """Copy an image between two folders, with the folders in its name.

    Args:
        name: in both folders.
        source: folder to read from.
        target: folder to write into.
        where: the image, for messages.

    Raises:
        ValueError: the name leads out of its folder.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"names of images must stay in their folder, got {name} of {where}")
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / path, target / path)
