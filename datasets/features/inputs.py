"""The images that the words of a command name: files, folders, patterns, lists, COCO files.

Nothing heavy is imported for it, and no image is opened. An image's id is its path relative to the
folder that was given, with slashes.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from swin_dense.datasets.files import check_file, read_text
from swin_dense.datasets.formats.folders import is_image_name, is_left_by_system

_TRIED = 20  # images of a list or a COCO file by which its folder is found


class ImageFile(NamedTuple):
    """An image to read.

    Attributes:
        id: path relative to the input's root.
        path: of the file.
        root: folder that the id is relative to.
        stated_size: (height, width) that annotations were drawn on, px, where there are any.
    """

    id: str
    path: str
    root: str
    stated_size: tuple[int, int] | None = None


def find_images(inputs: Sequence[str | os.PathLike[str]]) -> dict[str, ImageFile]:
    """List the images of all inputs, by id, in the order of the inputs.

    Args:
        inputs: each an image; a folder, which is searched through; a pattern such as
            `photos/**/*.jpg`; `@list.txt`, a text file with a path a line; or a COCO file, whose
            image folder stands behind it, or where COCO and its exporters put it.

    Raises:
        FileNotFoundError: an input is missing, or names no image.
        ValueError: two images have one id, or a list or a COCO file cannot be read.
    """
    found: dict[str, ImageFile] = {}
    words = [os.fspath(word) for word in inputs]
    while words:
        word = words.pop(0)
        for image in _find(word, words):
            if (other := found.get(image.id)) is not None:
                raise ValueError(
                    f"each image must have an id of its own, got {image.id!r} for {other.path} and "
                    f"{image.path}; give the folder that both are in, or make two stores"
                )
            found[image.id] = image
    return found


def _find(word: str, following: list[str]) -> Iterable[ImageFile]:
    """Images of one input; a COCO file may take the folder that follows it from the list."""
    if os.path.isdir(word):
        return _some(_in_folder(word), word)
    if os.path.exists(word):
        if word.lower().endswith(".json"):
            return _in_coco(word, following)
        check_file(word, "image, folder or list")
        return _relative([word], os.path.dirname(word) or ".")
    if word.startswith("@"):
        return _in_list(word[1:])
    if glob.has_magic(word):
        return _some(_of_pattern(word), word)
    raise FileNotFoundError(f"no image, folder, pattern or list {word}")


def _some(images: Iterable[ImageFile], word: str) -> list[ImageFile]:
    listed = list(images)
    if not listed:
        raise FileNotFoundError(f"{word} must hold images, got none")
    return listed


def _relative(paths: Iterable[str], root: str) -> Iterator[ImageFile]:
    """Files with ids relative to a folder that all of them are in."""
    root = os.path.abspath(root)
    prefix = root.rstrip("/") + "/"
    for path in paths:
        full = os.path.abspath(path)
        yield ImageFile(_as_id(full.removeprefix(prefix)), full, root)


def _as_id(path: str) -> str:
    """The path as text that every format can hold; bytes that are no UTF-8 are spelled out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


# ---------------------------------------------------------------------------------------- folders


def _in_folder(folder: str) -> Iterator[ImageFile]:
    """Images in a folder and in those below it, by path; links are followed, but in no circle."""
    paths: list[str] = []
    seen = set()
    for place, inner, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = [name for name in inner if not is_left_by_system(name)]
        paths += [
            os.path.join(place, name)
            for name in files
            if is_image_name(name) and not is_left_by_system(name)
        ]
    return _relative(sorted(paths), folder)


def _of_pattern(pattern: str) -> Iterator[ImageFile]:
    """Images that fit a pattern, by path, with ids from its first wildcard on."""
    files = sorted(path for path in glob.iglob(pattern, recursive=True) if is_image_name(path))
    for image in _relative(files, _fixed_part(pattern)):
        if not any(map(is_left_by_system, image.id.split("/"))) and os.path.isfile(image.path):
            yield image


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern that stand before the first wildcard."""
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else ".")


# ------------------------------------------------------------------------------------------ lists


def _in_list(path: str) -> list[ImageFile]:
    """Files that a text file names, relative to the folder it is in, or to the working one.

    Empty lines and those that begin with `#` are passed over.
    """
    lines = [line.strip() for line in read_text(path, "list of images").splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileNotFoundError(f"{path} must hold the paths of images, got none")
    beside = os.path.dirname(os.path.abspath(path))
    folder = _holder(names, [beside, os.getcwd()])
    if folder is None:
        raise FileNotFoundError(
            f"{path} must name images, from {beside} or the working folder on, got none that is "
            f"there among the first {min(_TRIED, len(names))}"
        )
    paths = [os.path.join(folder, name) for name in names]
    folders = {os.path.dirname(os.path.abspath(file)) for file in paths}
    inside = all(place == folder or place.startswith(folder.rstrip("/") + "/") for place in folders)
    return list(_relative(paths, folder if inside else os.path.commonpath(folders)))


def _holder(names: Iterable[str], folders: Iterable[str]) -> str | None:
    """The first of some folders that has any of the first files; None if none has."""
    first = list(islice(names, _TRIED))
    for folder in folders:
        if any(os.path.isfile(os.path.join(folder, name)) for name in first):
            return folder
    return None


# ------------------------------------------------------------------------------------------- COCO


def _in_coco(path: str, following: list[str]) -> list[ImageFile]:
    from swin_dense.datasets.formats.coco_file import read_coco_images

    images = read_coco_images(path)
    folders = _coco_folders(Path(path))
    behind = following[0] if following and os.path.isdir(following[0]) else None
    names = [image.file_name for image in images]
    folder = _holder(names, [*([behind] if behind else []), *folders])
    if folder is None:
        looked = ", ".join(dict.fromkeys([*([behind] if behind else []), *folders]))
        raise FileNotFoundError(
            f"the images of {path} must be in the folder that is given behind it, or in one of "
            f"{looked}, got none of the first {min(_TRIED, len(images))} there"
        )
    if folder == behind:
        del following[0]
    root = os.path.abspath(folder)
    return [
        ImageFile(
            _as_id(_inside(image.file_name)),
            os.path.join(root, image.file_name),
            root,
            (image.size.height, image.size.width),
        )
        for image in images
    ]


def _inside(name: str) -> str:
    """A file's name within the folder of the images; some exporters write `../images/a.jpg`."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _coco_folders(path: Path) -> list[str]:
    """Folders in which the images of a COCO file are by custom.

    `annotations/instances_val2017.json` has them in `val2017/`, CVAT in `images/` or
    `images/default/`, Roboflow and Label Studio beside the file or in `images/`.
    """
    root = path.absolute().parent
    above = root.parent
    split = path.stem.rpartition("_")[2]
    folders = [above / split, above / "images" / split, above / "images", root, root / "images"]
    return [str(folder) for folder in [*folders, above]]
