"""From what a label map file stores, numbers or colours, to labels 0..K-1 and 255 (ignored)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.label_maps import (
    IGNORED_LABEL,
    labels_from_numbers,
    load_label_map,
    read_class_numbers,
    read_label_map_header,
)
from swin_dense.datasets.samples import Size

BLACK = (0, 0, 0)
PASCAL_BORDER = (224, 224, 192)
_SHOWN = 6


class Stored(NamedTuple):
    """Pixels of a label map file: `numbers` `(H, W)` integers or `colours` `(H, W, 3)` uint8.

    `palette` `(256, 3)` uint8 is there where the numbers are indices of one.
    """

    numbers: np.ndarray | None
    colours: np.ndarray | None = None
    palette: np.ndarray | None = None


class Encoding(Protocol):
    """Meaning of the pixels of a data set's label maps.

    Attributes:
        words: for people, such as "0 and 255 are ignored".
    """

    @property
    def words(self) -> str: ...

    def read(self, path: Path) -> np.ndarray:
        """Labels `(H, W)` uint8 of a file; ValueError where it has others than it may have."""

    def read_header(self, path: Path) -> Size:
        """Size of a file that can be read so, else ValueError."""


@dataclass(frozen=True)
class Numbers:
    """Class numbers: 0..K-1, or with `reduce_zero_label` 1..K and 0 for ignored; 255 is ignored.

    `from_grey`: the files are RGB images whose three channels are alike.
    """

    num_classes: int
    reduce_zero_label: bool
    from_grey: bool = False

    @property
    def words(self) -> str:
        return "0 and 255 are ignored" if self.reduce_zero_label else "0 is a class, 255 is ignored"

    def read(self, path: Path) -> np.ndarray:
        return labels_from_numbers(
            _numbers(path, self.from_grey),
            num_classes=self.num_classes,
            reduce_zero_label=self.reduce_zero_label,
            where=path,
        )

    def read_header(self, path: Path) -> Size:
        return _read_any_header(path) if self.from_grey else read_label_map_header(path)


@dataclass(frozen=True)
class NumberTable:
    """Numbers that stand for labels by a table, such as 0 and 255 for the labels 0 and 1."""

    labels: Mapping[int, int]
    words: str
    from_grey: bool = False

    def read(self, path: Path) -> np.ndarray:
        numbers = _numbers(path, self.from_grey)
        found = np.unique(numbers).tolist()
        wrong = [number for number in found if number not in self.labels]
        if wrong:
            raise ValueError(
                f"class numbers must be among {_shorten(sorted(self.labels))}, got "
                f"{_shorten(wrong)} in {path}"
            )
        table = np.full(max(found) + 1, IGNORED_LABEL, np.uint8)
        for number in found:
            table[number] = self.labels[number]
        return table[numbers]

    def read_header(self, path: Path) -> Size:
        return _read_any_header(path) if self.from_grey else read_label_map_header(path)


@dataclass(frozen=True)
class Threshold:
    """Grey values below 128 are the background, the others the one class: JPEG blurs 0 and 255."""

    words: str = "0 is the background, 255 the class, divided at 128"

    def read(self, path: Path) -> np.ndarray:
        return (_numbers(path, from_grey=True) >= 128).astype(np.uint8)

    def read_header(self, path: Path) -> Size:
        return _read_any_header(path)


@dataclass(frozen=True)
class Colours:
    """Colours of the classes, in the pixels or in the palette; `ignored` ones are no class."""

    colours: tuple[tuple[int, int, int], ...]
    ignored: tuple[tuple[int, int, int], ...] = ()

    @property
    def words(self) -> str:
        names = {BLACK: "black", PASCAL_BORDER: "the border's colour"}
        ignored = " and ".join(names.get(colour, str(colour)) for colour in self.ignored)
        return f"classes by colour{f', {ignored} ignored' if ignored else ''}"

    def read(self, path: Path) -> np.ndarray:
        stored = read_stored(path)
        if stored.palette is not None and stored.numbers is not None:
            present = np.unique(stored.numbers)
            table = np.zeros(256, np.uint8)
            table[present] = self._find(stored.palette[present], path)
            return table[stored.numbers]
        if stored.colours is None:
            stored = Stored(None, np.repeat(_of(stored.numbers)[..., None], 3, axis=2))
        return self._find(_of(stored.colours), path)

    def read_header(self, path: Path) -> Size:
        return _read_any_header(path)

    def _find(self, colours: np.ndarray, path: Path) -> np.ndarray:
        """Labels `(...)` uint8 of colours `(..., 3)`."""
        labels = [*range(len(self.colours)), *[IGNORED_LABEL] * len(self.ignored)]
        codes = colour_codes(np.array([*self.colours, *self.ignored], np.int64))
        order = np.argsort(codes, kind="stable")
        wanted = colour_codes(colours)
        places = np.searchsorted(codes[order], wanted).clip(max=len(codes) - 1)
        wrong = codes[order][places] != wanted
        if wrong.any():
            raise ValueError(
                f"colours must be those of the classes, got {describe_colours(wanted[wrong])} in "
                f"{path}; list them in classes.csv (name,r,g,b)"
            )
        return np.array(labels, np.uint8)[order][places]


def read_stored(path: Path) -> Stored:
    """Read the pixels of a label map file of any kind; palettes stay indices.

    A transparency that is the same everywhere is dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, its transparency varies, or it is of a kind without classes.
    """
    image = load_label_map(path, colours=True)
    mode = image.mode
    if mode in ("LA", "RGBA"):
        low, high = image.getchannel("A").getextrema()
        if low != high:
            raise ValueError(
                f"{path} must not be partly transparent, got values of {low} to {high}"
            )
        image = image.convert("L" if mode == "LA" else "RGB")
    if image.mode == "RGB":
        return Stored(None, np.array(image))
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(colours)] = colours
        return Stored(np.array(image), None, palette)
    if image.mode == "1" or image.mode == "L":
        return Stored(np.array(image).astype(np.uint8))
    if image.mode in ("I;16", "I;16B", "I"):
        return Stored(np.array(image).astype(np.int64))
    raise ValueError(f"a label map must have class numbers or colours, got {mode} in {path}")


def colour_codes(colours: np.ndarray) -> np.ndarray:
    """Colours `(..., 3)` as one number each `(...)`: r * 65536 + g * 256 + b."""
    return (colours.astype(np.int64) * (65536, 256, 1)).sum(axis=-1)


def describe_colours(codes: np.ndarray) -> str:
    """The most frequent colours and their numbers of pixels, in words."""
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    named = [
        f"({code >> 16}, {code >> 8 & 255}, {code & 255}) in {count} px"
        for code, count in zip(found[order[:_SHOWN]], counts[order[:_SHOWN]], strict=True)
    ]
    return ", ".join(named) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Classes and encoding of a data set.

    Attributes:
        classes: names and colours in the order of the labels.
        names_from: whose they are, for people.
        encoding: of its label maps.
        reduce_zero_label: of `Numbers`; None where there is no such question.
    """

    classes: ClassList
    names_from: str
    encoding: Encoding
    reduce_zero_label: bool | None


def _numbers(path: Path, from_grey: bool) -> np.ndarray:
    """Numbers `(H, W)` of a file; with `from_grey` also of RGB images with equal channels."""
    if not from_grey:
        return read_class_numbers(path)
    stored = read_stored(path)
    if stored.numbers is not None:
        return stored.numbers
    colours = _of(stored.colours)
    if (colours != colours[..., :1]).any():
        raise ValueError(
            f"a label map must have one channel of class numbers, got colours in {path}"
        )
    return colours[..., 0]


def _read_any_header(path: Path) -> Size:
    return read_label_map_header(path, colours=True)


def _of(array: np.ndarray | None) -> np.ndarray:
    assert array is not None
    return array


def _shorten(numbers: list[int]) -> str:
    if len(numbers) <= _SHOWN:
        return ", ".join(map(str, numbers))
    return f"{', '.join(map(str, numbers[:_SHOWN]))} and {len(numbers) - _SHOWN} more"
