"""COCO-format files of any name with their images anywhere: what is left when no tool is known."""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection.annotation_files import (
    is_coco_content,
    read_annotation_file,
)
from swin_dense.datasets.formats.folders import entries, subfolders
from swin_dense.datasets.formats.split_names import WHOLE, order_splits, split_in_name

_MOST = 50  # JSON files in one folder; more are labels of single images


def has_coco_files(root: Path) -> bool:
    """Tell whether a folder, or one in it, has JSON with COCO's lists."""
    return any(is_coco_content(path) for path in _candidates(root))


def list_coco_files_splits(root: Path) -> list[str]:
    """Names of the splits: what the files' or their folders' names speak of, else the names."""
    return order_splits(list(_find_files(root)))


def read_coco_files(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a split; raises as `read_annotation_file`."""
    found = _find_files(root)
    files = {name: found[name] for name in order_splits(list(found))}

    def folders(name: str) -> Sequence[Path]:
        home = files[name].parent
        near = (root / "images" / name, root / name, root / "images", home / "images", home, root)
        return (*near, *subfolders(root))

    return read_annotation_file(root, files, split, folders=folders)


def _find_files(root: Path) -> dict[str, Path]:
    """The file of each split; the only file is the whole, if its name speaks of no split."""
    paths = [path for path in _candidates(root) if is_coco_content(path)]
    names = [_name_split(path, root) for path in paths]
    if len(paths) == 1:
        return {names[0] or WHOLE: paths[0]}
    files: dict[str, Path] = {}
    for path, name in zip(paths, names, strict=True):
        key = name or path.stem
        if key in files:
            raise ValueError(
                f"{root} must have one annotation file for each split, got {files[key]} and {path} "
                f"for {key!r}; move one of them away"
            )
        files[key] = path
    return files


def _name_split(path: Path, root: Path) -> str | None:
    named = split_in_name(path.stem)
    return named or (split_in_name(path.parent.name) if path.parent != root else None)


def _candidates(root: Path) -> list[Path]:
    found = []
    for folder in (root, *subfolders(root)):
        if folder.is_dir():
            files = [path for path in entries(folder) if path.suffix.lower() == ".json"]
            found += files if len(files) <= _MOST else []
    return [path for path in found if path.is_file()]
