"""Contents of a data set's label maps: numbers, colours and palettes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from swin_dense.datasets.formats.segmentation.label_encoding import (
    Stored,
    colour_codes,
    read_stored,
)
from swin_dense.datasets.formats.segmentation.pairs import NUM_READERS

MOST_COLOURS = 1000  # of one file; more are no classes but shades
_MOST_READ = 2000  # label maps that are looked at; more are taken to be alike
_CHUNK = 64


class FileContent(NamedTuple):
    """Of one label map: numbers, or colours as codes, or indices and their palette's colours."""

    kind: str  # "numbers", "grey" (numbers in three equal channels), "colours"
    numbers: tuple[int, ...] = ()
    colours: tuple[int, ...] = ()
    palette: tuple[tuple[int, int], ...] = ()  # (index, colour code) of the indices that occur


@dataclass
class Evidence:
    """Contents of many label maps.

    Attributes:
        num_read: files read.
        num_files: files there are.
        kinds: files of each kind.
        numbers: a file for each number that occurs.
        colours: files in which each colour occurs.
        palettes: for each index in use the colours it has, with a file each.
        unpaletted: files of numbers without a palette.
        has_jpeg: some file is a JPEG, in which numbers do not survive.
        unreadable: faults of files that could not be read.
    """

    num_files: int
    num_read: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    numbers: dict[int, Path] = field(default_factory=dict)
    colours: dict[int, int] = field(default_factory=dict)
    palettes: dict[int, dict[int, Path]] = field(default_factory=dict)
    unpaletted: int = 0
    has_jpeg: bool = False
    unreadable: list[str] = field(default_factory=list)

    def add(self, path: Path, content: FileContent) -> None:
        """Count a file in."""
        self.num_read += 1
        self.kinds[content.kind] = self.kinds.get(content.kind, 0) + 1
        self.has_jpeg |= path.suffix.lower() in (".jpg", ".jpeg")
        for number in content.numbers:
            self.numbers.setdefault(number, path)
        for code in content.colours:
            self.colours[code] = self.colours.get(code, 0) + 1
        for index, code in content.palette:
            self.palettes.setdefault(index, {}).setdefault(code, path)
        self.unpaletted += content.kind != "colours" and not content.palette

    @property
    def words(self) -> str:
        """Number of the files, for messages."""
        if self.num_read == self.num_files:
            return f"{self.num_files} label maps"
        return f"{self.num_read} of {self.num_files} label maps"


def gather_evidence(
    paths: Sequence[Path], is_enough: Callable[[Evidence], bool] = lambda evidence: False
) -> Evidence:
    """Read label maps, spread over the list, until `is_enough`, all of them, or 2000.

    Files that cannot be read are left to the check of all files.
    """
    evidence = Evidence(num_files=len(paths))
    step = max(1, -(-len(paths) // _MOST_READ))
    chosen = list(paths[::step])
    # The first chunk comes from the whole list, so that it is likely to be enough.
    order = [path for start in range(_CHUNK) for path in chosen[start::_CHUNK]]
    with ThreadPoolExecutor(max_workers=NUM_READERS) as pool:
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK]
            for path, content in zip(chunk, pool.map(_read_content, chunk), strict=True):
                if isinstance(content, str):
                    evidence.unreadable.append(content)
                else:
                    evidence.add(path, content)
            if is_enough(evidence):
                break
    return evidence


def _read_content(path: Path) -> FileContent | str:
    """Content of a file, or its fault. Files that were read before are not read again."""
    try:
        state = path.stat()
        return _read_known(path, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError) as error:
        return str(error)


@lru_cache(maxsize=4 * _MOST_READ)
def _read_known(path: Path, changed: int, size: int) -> FileContent:
    """Content of a file in this state."""
    del changed, size
    stored = read_stored(path)
    if stored.colours is not None:
        return _read_colours(stored.colours)
    return _read_numbers(stored)


def _read_numbers(stored: Stored) -> FileContent:
    numbers = stored.numbers
    assert numbers is not None
    if numbers.dtype == np.uint8:
        present = np.flatnonzero(np.bincount(numbers.ravel(), minlength=256))
    else:
        present = np.unique(numbers)
    palette: tuple[tuple[int, int], ...] = ()
    if stored.palette is not None:
        codes = colour_codes(stored.palette[present])
        palette = tuple(zip(present.tolist(), codes.tolist(), strict=True))
    return FileContent("numbers", tuple(present.tolist()), palette=palette)


def _read_colours(colours: np.ndarray) -> FileContent:
    if not (colours != colours[..., :1]).any():
        grey = np.flatnonzero(np.bincount(colours[..., 0].ravel(), minlength=256)).tolist()
        return FileContent("grey", tuple(grey), colours=tuple(number * 0x10101 for number in grey))
    codes = np.unique(colour_codes(colours))
    return FileContent("colours", colours=tuple(codes[: MOST_COLOURS + 1].tolist()))
