"""Images and their label maps as files: listed, paired by name, their headers checked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.folders import IMAGE_SUFFIXES, walk_files
from swin_dense.datasets.formats.segmentation.label_encoding import Encoding
from swin_dense.datasets.label_maps import read_image_header
from swin_dense.datasets.samples import Size

LABEL_SUFFIXES = (".png", ".gif", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
NUM_READERS = 16  # threads
_FAULTS_SHOWN = 20


class LabelledImage(NamedTuple):
    """An image and its label map; `id` is its path in the split, with `/` and without ending."""

    id: str
    image: Path
    label_map: Path


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """One split.

    Attributes:
        where: the folders, for messages.
        images: by rising id.
        faults: files without their partners; none may be left where the split is used.
    """

    where: str
    images: tuple[LabelledImage, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayoutFiles:
    """All that a layout finds in a folder before any label map is read.

    Attributes:
        splits: by name.
        classes: of the layout itself, where its files or its definition name them.
        assumed: the classes where neither the folder nor a model names any, and whose they are.
        encoding: of the label maps, where the layout leaves no question open.
        reduce_zero_label: the layout's rule for class numbers; None: the data decides.
    """

    splits: Mapping[str, SplitFiles]
    classes: tuple[ClassList, str] | None = None
    assumed: tuple[ClassList, str] | None = None
    encoding: Encoding | None = None
    reduce_zero_label: bool | None = None


@dataclass
class FileTree:
    """Image files of a folder by their path in it without ending, and names that come twice."""

    files: dict[str, Path] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def list_images(
    folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, cut: str = ""
) -> FileTree:
    """Image files in a folder and those in it, whose names end in `cut` before the ending."""
    return collect_images(walk_files(folder), folder, suffixes, cut=cut)


def collect_images(
    files: Iterable[Path], folder: Path, suffixes: Sequence[str], *, cut: str = ""
) -> FileTree:
    """Files by their path in `folder` without ending and without `cut`."""
    tree = FileTree()
    for path in files:
        if path.suffix.lower() not in suffixes or not path.stem.endswith(cut):
            continue
        place = path.relative_to(folder)
        key = place.with_name(place.stem.removesuffix(cut) or place.stem).as_posix()
        if key in tree.files:
            tree.faults.append(f"{place} has the same name as {tree.files[key].name}")
        tree.files[key] = path
    return tree


def pair_files(
    images: FileTree, label_maps: FileTree, *, where: str, suffix: str = ".png"
) -> SplitFiles:
    """Pair by path without ending; what has no partner is a fault.

    Args:
        images: of the split.
        label_maps: of the split.
        where: the folders, for messages.
        suffix: of a label map's name behind that of its image, for messages.
    """
    faults = [*images.faults, *label_maps.faults]
    faults += [
        f"{key}{images.files[key].suffix} has no label map {key}{suffix}"
        for key in sorted(images.files.keys() - label_maps.files.keys())
    ]
    faults += [
        f"{key}{label_maps.files[key].suffix} has no image"
        for key in sorted(label_maps.files.keys() - images.files.keys())
    ]
    if not images.files:
        faults.append("there is no image")
    pairs = tuple(
        LabelledImage(key, images.files[key], label_maps.files[key])
        for key in sorted(images.files.keys() & label_maps.files.keys())
    )
    return SplitFiles(where=where, images=pairs, faults=tuple(faults))


def check_headers(split: SplitFiles, read_label_header: Callable[[Path], Size]) -> list[Size]:
    """Sizes of the label maps, once every file has its partner, can be read and fits it.

    Raises:
        ValueError: there are faults, all named.
    """
    raise_faults(split.faults, split.where)

    def check(pair: LabelledImage) -> Size | str:
        try:
            image, label_map = read_image_header(pair.image), read_label_header(pair.label_map)
        except ValueError as error:
            return str(error)
        # An image stored on its side may be turned by its orientation tag.
        if sorted(image) != sorted(label_map):
            return (
                f"{pair.image} and its label map must have one size, got {image.width} x "
                f"{image.height} and {label_map.width} x {label_map.height} (width x height)"
            )
        return label_map

    with ThreadPoolExecutor(max_workers=NUM_READERS) as pool:
        checked = list(pool.map(check, split.images))
    raise_faults([fault for fault in checked if isinstance(fault, str)], split.where)
    return [size for size in checked if not isinstance(size, str)]


def raise_faults(faults: Sequence[str], where: str) -> None:
    """Refuse files with faults, the first of them named."""
    if faults:
        shown = "; ".join(faults[:_FAULTS_SHOWN])
        more = len(faults) - _FAULTS_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise ValueError(f"{where} cannot be used, {len(faults)} at fault: {shown}{rest}")
