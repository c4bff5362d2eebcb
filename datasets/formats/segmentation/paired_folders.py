"""Two folders, or one: images, and label maps of the same names with a suffix or without.

Read are `images/` beside `masks/`, both with or without a folder for each split in them or around
them; `train/` beside `train_labels/` or `trainannot/`; and `x.jpg` beside `x_mask.png`. Folders
that are no splits become part of the images' names.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from swin_dense.datasets.formats.folders import IMAGE_SUFFIXES, walk_files
from swin_dense.datasets.formats.segmentation.pairs import (
    LABEL_SUFFIXES,
    FileTree,
    LayoutFiles,
    SplitFiles,
    pair_files,
)
from swin_dense.datasets.formats.split_names import SPLIT_NAMES

_IMAGE_FOLDERS = {"images", "image", "imgs", "img", "img_dir", "images_png", "input", "inputs"}
_LABEL_FOLDERS = {
    *("masks", "mask", "masks_png", "labels", "label", "annotations", "annotation", "ann_dir"),
    *("gt", "groundtruth", "ground_truth", "segmentation", "segmentations", "label_maps"),
    *("SegmentationClass", "targets", "target"),
}
_LABEL_FOLDER = re.compile(
    r"(.+?)_?(masks?|labels?|annot|annotations?|gt|segmentations?)$", re.IGNORECASE
)
_IMAGE_FOLDER = re.compile(r"(.+?)_(images?|imgs?)$", re.IGNORECASE)
_LABEL_CUTS = (
    *("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_annotation"),
    *("_L", "-mask", "-label", ".mask", "_Mask", "_manual1"),
)
_IMAGE_CUTS = ("_sat", "_image", "_img", "-image")
_DEEPEST = 4


@dataclass
class _Part:
    """Files of one split by their role; those of label maps by the folder they are in."""

    images: list[tuple[str, Path]] = field(default_factory=list)
    label_maps: dict[str, list[tuple[str, Path]]] = field(default_factory=lambda: defaultdict(list))
    plain: list[tuple[str, Path]] = field(default_factory=list)


def is_folder_pair(root: Path) -> bool:
    """Tell whether a folder has images and label maps that belong together by their names."""
    return any(_has_label_maps(part) for part in _read_parts(root).values())


def find_folders(root: Path) -> LayoutFiles:
    """Every split that has label maps; without folders of splits all images are one, `all`.

    Raises:
        ValueError: images have label maps in two folders.
    """
    splits = {}
    for name, part in _read_parts(root).items():
        if _has_label_maps(part):
            where = str(root) if name == "all" else f"{root} ({name})"
            splits[name] = _pair(part, where)
    return LayoutFiles(splits=splits)


def _read_parts(root: Path) -> dict[str, _Part]:
    """Image files by split and role."""
    parts: dict[str, _Part] = defaultdict(_Part)
    for path in walk_files(root, deepest=_DEEPEST):
        if path.suffix.lower() not in (*IMAGE_SUFFIXES, *LABEL_SUFFIXES):
            continue
        place = path.relative_to(root)
        split, role, label_folder, rest = "all", "", "", []
        for folder in place.parts[:-1]:
            word, kind = _read_folder(folder)
            if kind:
                role = kind
                label_folder = folder if kind == "label" else label_folder
            if word in SPLIT_NAMES:
                split = word
            elif word:
                rest.append(word)
        key = "/".join([*rest, path.name])
        part = parts[split]
        if role == "label":
            part.label_maps[label_folder].append((key, path))
        else:
            (part.images if role == "image" else part.plain).append((key, path))
    return dict(parts)


def _read_folder(name: str) -> tuple[str, str]:
    """The word that is left of a folder's name, and the role that the name gives its files."""
    lower = name.lower()
    if lower in {word.lower() for word in _LABEL_FOLDERS}:
        return "", "label"
    if lower in _IMAGE_FOLDERS:
        return "", "image"
    for pattern, role in ((_LABEL_FOLDER, "label"), (_IMAGE_FOLDER, "image")):
        match = pattern.fullmatch(name)
        if match and match[1].lower() in SPLIT_NAMES:
            return match[1].lower(), role
    return (lower if lower in SPLIT_NAMES else name), ""


def _has_label_maps(part: _Part) -> bool:
    if part.label_maps and (part.images or part.plain):
        return True
    return bool(_divide(part.images or part.plain)[1])


def _divide(
    files: list[tuple[str, Path]],
) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """Images, and label maps that have the name of an image and a suffix behind it."""
    stems = {_stem(key) for key, _ in files}
    stems |= {_cut(stem, _IMAGE_CUTS) for stem in stems}
    label_maps = [
        (key, path)
        for key, path in files
        if _cut(_stem(key), _LABEL_CUTS) != _stem(key)
        and _cut(_stem(key), _LABEL_CUTS) in stems
        and path.suffix.lower() in LABEL_SUFFIXES
    ]
    taken = {path for _, path in label_maps}
    return [pair for pair in files if pair[1] not in taken], label_maps


def _pair(part: _Part, where: str) -> SplitFiles:
    images, label_maps = part.images or part.plain, [*part.label_maps.values()]
    if len(label_maps) > 1:
        folders = ", ".join(sorted(part.label_maps))
        raise ValueError(
            f"{where} must have one folder of label maps, got {folders}; move the others away"
        )
    if label_maps:
        found = label_maps[0]
    else:
        images, found = _divide(images)
    image_tree = _collect(images, IMAGE_SUFFIXES, ())
    label_tree = _collect(found, LABEL_SUFFIXES, ())
    if not image_tree.files.keys() & label_tree.files.keys():
        image_tree = _collect(images, IMAGE_SUFFIXES, _IMAGE_CUTS)
        label_tree = _collect(found, LABEL_SUFFIXES, _LABEL_CUTS)
    suffix = _common_cut(found)
    return pair_files(image_tree, label_tree, where=where, suffix=f"{suffix}.png")


def _collect(
    files: list[tuple[str, Path]], suffixes: tuple[str, ...], cuts: tuple[str, ...]
) -> FileTree:
    """Files by their keys without ending and without one of the suffixes."""
    tree = FileTree()
    for key, path in files:
        if path.suffix.lower() in suffixes:
            name = _cut(_stem(key), cuts)
            if name in tree.files:
                tree.faults.append(f"{key} has the same name as {tree.files[name].name}")
            tree.files[name] = path
    return tree


def _common_cut(files: list[tuple[str, Path]]) -> str:
    """The suffix behind the first label map's name, for messages."""
    stem = _stem(files[0][0])
    return stem[len(_cut(stem, _LABEL_CUTS)) :]


def _stem(key: str) -> str:
    return key.rpartition(".")[0]


def _cut(stem: str, cuts: tuple[str, ...]) -> str:
    return next((stem.removesuffix(cut) for cut in cuts if stem.endswith(cut)), stem)
