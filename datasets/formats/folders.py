"""Folders as people unpack them: a single top folder, and files that no tool for data wrote."""

from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_IGNORED = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def entries(folder: Path) -> Iterator[Path]:
    """Entries of a folder without what a system or an editor left there, sorted by name."""
    for path in sorted(folder.iterdir()):
        if not is_left_by_system(path.name):
            yield path


def is_left_by_system(name: str) -> bool:
    """Tell whether a system or an editor left a file or folder of that name."""
    return name in _IGNORED or name.startswith(".")


def inner_folder(folder: Path) -> Path | None:
    """The one folder in a folder that holds nothing else, as in an unpacked archive."""
    if not folder.is_dir():
        return None
    found = list(entries(folder))
    return found[0] if len(found) == 1 and found[0].is_dir() else None


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted by name; empty where there is no such folder."""
    return [path for path in entries(folder) if path.is_dir()] if folder.is_dir() else []


def is_image_name(name: str) -> bool:
    """Tell whether a file's ending is that of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def find_images(folder: Path) -> list[Path]:
    """Images in a folder and in the folders below it, sorted by path."""
    found = []
    for path in entries(folder):
        if path.is_dir():
            found += find_images(path)
        elif is_image_name(path.name):
            found.append(path)
    return found
