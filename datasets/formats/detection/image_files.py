"""Finding the image files that an annotation file names, wherever its tool has put them."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.folders import find_images
from swin_dense.datasets.label_maps import read_upright_size
from swin_dense.datasets.samples import Size

_MAX_NAMED = 20
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an upload


def locate_images(coco: CocoFile, root: Path, folders: Sequence[Path]) -> tuple[CocoFile, Path]:
    """Replace the file names by those of the files that are there.

    A name is tried as it is in each folder, then without a first part that names the folder itself,
    then at the end of the paths of all images of the root, where it must be unique. Of a foreign
    name (an absolute path, `..`, an address) or one with Label Studio's upload prefix, the last
    part is enough.

    Args:
        coco: as its file has it.
        root: of the data set; nothing outside is opened.
        folders: where the images may be, the likeliest first.

    Returns:
        The annotations, and the folder that their file names are relative to: that of all images
        if they lie in one of `folders`, else the root.

    Raises:
        ValueError: images are missing, or a name fits several files; they are named.
    """
    search = _Search(root, [folder for folder in folders if folder.is_dir()])
    found: list[tuple[Path, str]] = []
    missing: list[str] = []
    unclear: list[str] = []
    for image in coco.images:
        places = search.find(image.file_name)
        if len(places) == 1:
            found.append(places[0])
        else:
            (unclear if places else missing).append(f"{image.file_name} of image {image.id}")
    faults = [
        f"{what}: {len(names)} ({', '.join(names[:_MAX_NAMED])}"
        f"{', ...' if len(names) > _MAX_NAMED else ''})"
        for what, names in (
            (f"image files missing in {root}", missing),
            (f"names that several image files in {root} have", unclear),
        )
        if names
    ]
    if faults:
        raise ValueError(f"{coco.path} cannot be used; {'; '.join(faults)}")
    homes = {folder for folder, _ in found}
    base = homes.pop() if len(homes) == 1 else root
    images = [
        image._replace(file_name=(folder / name).relative_to(base).as_posix())
        for image, (folder, name) in zip(coco.images, found, strict=True)
    ]
    return coco._replace(images=images), base


class SizeFinder:
    """Sizes of the image files that names mean, upright, as annotation tools show them.

    Attributes:
        num_found: sizes that were asked for and found.
    """

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self.num_found = 0
        self._search = _Search(root, [folder for folder in folders if folder.is_dir()])

    def __call__(self, name: str) -> Size | None:
        """Size of one file; None where it is not there or not certain.

        Raises:
            ValueError: the file cannot be read as an image.
        """
        places = self._search.find(name)
        if len(places) != 1:
            return None
        self.num_found += 1
        folder, found = places[0]
        return read_upright_size(folder / found)


class _Search:
    """Folders to look in; each is listed once, which is faster than asking for each file."""

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self._root = root
        self._folders = list(dict.fromkeys(folders))
        self._listed: dict[Path, set[str]] = {}
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str) -> list[tuple[Path, str]]:
        """Folder and relative name of the files that a name may mean; one where it is certain."""
        parts, is_foreign = _split_name(name)
        if not parts:
            return []
        for folder in self._folders:
            tried = [parts] if not is_foreign else []
            if len(parts) > 1 and parts[0] == folder.name:
                tried.append(parts[1:])
            for candidate in tried:
                if self._is_file(folder, candidate):
                    return [(folder, "/".join(candidate))]
        uploaded = [*parts[:-1], _UPLOAD.sub("", parts[-1])]
        for wanted in (parts, uploaded) if uploaded != parts else (parts,):
            places = self._index().get(wanted[-1], [])
            # The fewer of its folders fit, the less is certain; a plain name's must all fit.
            fewest = 1 if is_foreign or wanted is uploaded else len(wanted)
            for length in range(len(wanted), fewest - 1, -1):
                ends = [path for path in places if list(path.parts[-length:]) == wanted[-length:]]
                if ends:
                    return [self._in_folder(path) for path in ends]
        return []

    def _is_file(self, folder: Path, parts: Sequence[str]) -> bool:
        parent = folder.joinpath(*parts[:-1])
        if parent not in self._listed:
            self._listed[parent] = set(os.listdir(parent)) if parent.is_dir() else set()
        return parts[-1] in self._listed[parent]

    def _in_folder(self, path: Path) -> tuple[Path, str]:
        """The path as folder and name, in the narrowest of the folders."""
        homes = [folder for folder in self._folders if folder in path.parents]
        home = max(homes, key=lambda folder: len(folder.parts), default=self._root)
        return home, path.relative_to(home).as_posix()

    def _index(self) -> dict[str, list[Path]]:
        if self._by_name is None:
            by_name: defaultdict[str, list[Path]] = defaultdict(list)
            for path in find_images(self._root):
                by_name[path.name].append(path)
            self._by_name = dict(by_name)
        return self._by_name


def _split_name(name: str) -> tuple[list[str], bool]:
    """Parts of a name, of whichever system; whether it leads out of every folder of the data."""
    text = name.replace("\\", "/")
    is_foreign = text.startswith("/") or ":" in text.partition("/")[0]
    if "?d=" in text:  # Label Studio's address of a local file
        text = text.rpartition("?d=")[2]
    parts = [part for part in text.split("/") if part not in ("", ".")]
    is_foreign = is_foreign or ".." in parts
    return [part for part in parts if part != ".."], is_foreign
