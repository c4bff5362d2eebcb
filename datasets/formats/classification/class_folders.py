"""Folders of classes, found and checked: `root/SPLIT/CLASS/*.jpg`, or `root/CLASS/*.jpg`.

A class is a folder, and its name the class's; labels follow the names in the order of their
characters, as torchvision's `ImageFolder` has it. Folders within a class's belong to the class. All
faults of a split are reported together.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from swin_dense.datasets.categories import find_fault_of_name
from swin_dense.datasets.files import read_text
from swin_dense.datasets.formats.coco_entries import Faults
from swin_dense.datasets.formats.folders import (
    IMAGE_SUFFIXES,
    list_folder,
    list_folders,
    top_folders,
)
from swin_dense.datasets.formats.split_names import (
    SPLIT_NAMES,
    WHOLE,
    find_training_split,
    order_splits,
)
from swin_dense.datasets.images import read_stated_size
from swin_dense.datasets.splits import split_names

_SUFFIXES = (*IMAGE_SUFFIXES, ".ppm", ".pgm")
_DEEPEST = 8  # folders in folders
_MOST_OPENED = 50_000  # images of a split whose headers are read before they are used
_NUM_READERS = 16  # threads
_MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """A root with its splits.

    Attributes:
        root: the folder that holds the splits, or the classes.
        splits: folders by name, training first; a root without splits is one, "all".
    """

    root: Path
    splits: Mapping[str, Path]

    @property
    def is_whole(self) -> bool:
        """True where the root has no splits."""
        return WHOLE in self.splits

    @property
    def class_names(self) -> tuple[str, ...]:
        """Sorted names of the class folders of the split for training, else of all splits."""
        training = find_training_split(list(self.splits))
        folders = [self.splits[training]] if training else list(self.splits.values())
        return tuple(sorted({name for folder in folders for name in list_folders(folder)}))


@dataclass(frozen=True, kw_only=True)
class SplitImages:
    """The images of a split.

    Attributes:
        names: path of each below the split's folder, its class first.
        labels: of each.
        class_names: of all labels.
        left_out: files that are not used, by kind.
    """

    names: Sequence[str]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    left_out: Counter[str] = field(default_factory=Counter)


def open_class_folders(root: Path | str) -> ClassFolders:
    """Find splits and classes in a root, or in the only folder that it holds.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no folders.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    folders = list(top_folders(root))
    for folder in folders:
        named = [name for name in list_folders(folder) if name.casefold() in SPLIT_NAMES]
        if named:
            splits = {name: folder / name for name in order_splits(named)}
            return ClassFolders(root=folder, splits=splits)
    for folder in reversed(folders):
        if list_folders(folder):
            return ClassFolders(root=folder, splits={WHOLE: folder})
    raise ValueError(
        f"{root} must hold a folder for each class, in train and val or without them, got none"
    )


def read_split(
    folder: Path, *, class_names: Sequence[str] | None = None, is_for_training: bool = False
) -> SplitImages:
    """List and check the images of a split.

    Args:
        folder: of the split.
        class_names: in the order of the labels. Folders of other names are faults, unless they are
            as many and none has one of these names: then they are other words for the same
            classes, in the same order. None: those of the folders.
        is_for_training: an empty class is a fault there.

    Raises:
        ValueError: there are no images, or faults, of which all are named: classes that are not
            known, or without images, or with impossible names; images beside the class folders;
            files that are empty or no images.
    """
    faults = Faults(folder)
    left_out: Counter[str] = Counter()
    found: dict[str, list[str]] = {}
    for entry in list_folder(folder):
        if entry.is_dir():
            if fault := find_fault_of_name(entry.name):
                faults.add(f"class folders {fault}", repr(entry.name))
            found[entry.name] = _list_images(folder, entry.name, faults, left_out)
        elif _is_image(entry.name):
            faults.add("images in no class's folder", entry.name)
        else:
            left_out["files that are no images"] += 1
    names, places = _place_classes(sorted(found), class_names, faults)
    if is_for_training:
        for name in found:
            if not found[name]:
                faults.add("class folders without images", name)
    images = [(name, places.get(label, 0)) for label in sorted(found) for name in found[label]]
    if len(images) <= _MOST_OPENED:
        _check_headers(folder, [name for name, _ in images], faults)
    faults.raise_if_any()
    if not images:
        raise ValueError(f"{folder} must hold images in a folder for each class, got none")
    return SplitImages(
        names=[name for name, _ in images],
        labels=[label for _, label in images],
        class_names=names,
        left_out=left_out,
    )


def select_images(images: SplitImages, chosen: set[str]) -> SplitImages:
    """The images of some names."""
    kept = [place for place, name in enumerate(images.names) if name in chosen]
    return SplitImages(
        names=[images.names[place] for place in kept],
        labels=[images.labels[place] for place in kept],
        class_names=images.class_names,
        left_out=images.left_out,
    )


def kept_names(
    images: SplitImages, folder: Path, *, fraction: float | None, list_file: Path | None
) -> list[str]:
    """Names of the images that are kept for evaluation: of each class its share, or as listed.

    Args:
        images: of the split that is divided.
        folder: its folder, for messages.
        fraction: of each class, by a hash of the names (`splits.is_validation`).
        list_file: file with the names instead, one a line.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: it names images that are not there, none or all; or a class has one image.
    """
    if list_file is None:
        kept = []
        by_class: dict[int, list[str]] = {}
        for name, label in zip(images.names, images.labels, strict=True):
            by_class.setdefault(label, []).append(name)
        for label, names in by_class.items():
            if len(names) < 2:
                raise ValueError(
                    f"every class must have 2 images to divide, got {len(names)} of "
                    f"{images.class_names[label]} in {folder}"
                )
            kept += split_names(names, fraction or 0.0)[1]
        return kept
    lines = read_text(list_file, "list of images").splitlines()
    asked = [line.strip() for line in lines if line.strip()]
    unknown = sorted(set(asked) - set(images.names))
    if unknown or not 0 < len(set(asked)) < len(images.names):
        more = f": {', '.join(unknown[:_MAX_NAMED])}" if unknown else ""
        raise ValueError(
            f"{list_file} must name some of the {len(images.names)} images of {folder}, got "
            f"{len(set(asked))}, {len(unknown)} of them unknown{more}"
        )
    return sorted(set(asked))


def _list_images(root: Path, inner: str, faults: Faults, left_out: Counter[str]) -> list[str]:
    """Images of a class's folder and of those in it, as paths below the split's."""
    names = []
    waiting = [(inner, _DEEPEST)]
    while waiting:
        place, deepest = waiting.pop()
        for entry in list_folder(root / place):
            name = f"{place}/{entry.name}"
            if entry.is_dir():
                if deepest:
                    waiting.append((name, deepest - 1))
            elif not _is_image(entry.name):
                left_out["files that are no images"] += 1
            elif _is_empty(entry):
                faults.add("empty files", name)
            else:
                names.append(name)
    return sorted(names)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def _is_empty(entry: "os.DirEntry[str]") -> bool:
    """A file without a byte; a link that leads nowhere, too."""
    try:
        return entry.stat().st_size == 0
    except OSError:
        return True


def _place_classes(
    folders: Sequence[str], class_names: Sequence[str] | None, faults: Faults
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the classes, and the label of each folder."""
    if class_names is None:
        return tuple(folders), {name: label for label, name in enumerate(folders)}
    known = {name: label for label, name in enumerate(class_names)}
    if len(folders) == len(known) and not known.keys() & set(folders):
        return tuple(class_names), {name: label for label, name in enumerate(folders)}
    for name in folders:
        if name not in known:
            faults.add("class folders of no known class", name)
    return tuple(class_names), known


def _check_headers(folder: Path, names: Sequence[str], faults: Faults) -> None:
    """Note every file that is no image of a known kind."""
    with ThreadPoolExecutor(max_workers=_NUM_READERS) as pool:
        sizes = pool.map(lambda name: read_stated_size(folder / name), names)
        for name, size in zip(names, sizes, strict=True):
            if size is None:
                faults.add("files that are no images in spite of their names", name)
