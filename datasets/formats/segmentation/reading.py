"""Reading of a data set's label maps: what they hold, and what that means.

Class numbers have two readings: 0 is ignored and 1..K are the classes (ADE20K), or 0..K-1 are the
classes and 255 is ignored (Pascal VOC, Cityscapes). Where the layout does not say which, the files
do: a number K can only be the last of 1..K, a 0 beside a 255 can only be a class.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.segmentation.label_encoding import (
    BLACK,
    PASCAL_BORDER,
    Colours,
    Encoding,
    Numbers,
    NumberTable,
    Stored,
    Threshold,
    colour_codes,
    read_stored,
)
from swin_dense.datasets.formats.segmentation.pairs import NUM_READERS, raise_faults
from swin_dense.datasets.label_maps import IGNORED_LABEL

FLAG = "--data.reduce-zero-label true or false (evaluate: --reduce-zero-label)"
_MOST_READ = 2000  # label maps that are looked at; more are taken to be alike
_CHUNK = 64
_MOST_COLOURS = 1000  # of one file; more are no classes but shades
_BLUR = 32  # the most by which JPEG moves a grey value of 0 or 255, of 255
_LARGEST_PLAIN = 20  # up to this number classes may be missing without a list of them
_SHOWN = 8


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


def decide(
    evidence: Evidence,
    *,
    where: Path,
    listed: tuple[ClassList, str] | None,
    assumed: tuple[ClassList, str] | None,
    reduce_zero_label: bool | None,
    is_stated: bool = False,
) -> Reading:
    """Classes and encoding from what the label maps hold.

    Args:
        evidence: of all splits.
        where: the folder, for messages.
        listed: the classes that the data, the recipe or the model names, and whose they are.
        assumed: the layout's classes where nobody names any.
        reduce_zero_label: the flag's value or the layout's rule; None: the data decides.
        is_stated: it is the flag's value, so that palettes are not asked what the numbers mean.

    Raises:
        ValueError: the label maps fit no reading, or more than one; the message names the flag or
            the file that decides.
    """
    table = listed[0].colours if listed else assumed[0].colours if assumed else None
    if evidence.kinds.get("colours"):
        return _decide_colours(evidence, where, listed or assumed, table)
    if not is_stated and listed and _are_table_colours(evidence, table):
        return _by_colour(listed, evidence)
    _check_palettes(evidence, where)
    numbers = set(evidence.numbers)
    if evidence.has_jpeg:
        return _decide_jpeg(evidence, where, listed)
    from_grey = evidence.kinds.get("grey", 0) == evidence.num_read > 0
    binary = _find_binary(numbers, listed, reduce_zero_label)
    if binary is not None:
        words = f"0 is the background, {255 if binary.get(255) == 1 else 1} the class"
        classes, names_from = _binary_classes(listed)
        return Reading(
            classes=classes,
            names_from=names_from,
            encoding=NumberTable(binary, words, from_grey),
            reduce_zero_label=None,
        )
    known = listed or assumed
    if reduce_zero_label is None:
        reduce_zero_label = _decide_zero(evidence, where, known)
    if known is None:
        known = _numbered_classes(evidence, where, reduce_zero_label)
    classes, names_from = known
    encoding = Numbers(len(classes.names), reduce_zero_label, from_grey)
    _check_largest(evidence, known, reduce_zero_label)
    return Reading(
        classes=classes,
        names_from=names_from,
        encoding=encoding,
        reduce_zero_label=reduce_zero_label,
    )


def is_settled(
    evidence: Evidence, *, num_classes: int | None, reduce_zero_label: bool | None
) -> bool:
    """Tell whether more label maps could hardly change what `decide` finds."""
    numbers = evidence.numbers.keys()
    if evidence.kinds.get("colours"):
        return True
    if not numbers - {0, 1, 255}:  # perhaps 0/255 masks
        return False
    if reduce_zero_label is not None:
        return True
    return num_classes is not None and num_classes > 1 and num_classes in numbers


def _decide_zero(evidence: Evidence, where: Path, known: tuple[ClassList, str] | None) -> bool:
    """True where 0 is "ignored", by the numbers that occur."""
    numbers = set(evidence.numbers)
    largest = max(numbers - {255}, default=0)
    names = known[0].names if known else ()
    if names and largest >= len(names):
        return True
    if 0 in numbers and 255 in numbers:
        return False
    if 0 not in numbers and 255 not in numbers:
        return True
    raise_faults(evidence.unreadable, str(where))
    first = repr(names[0]) if names else "the first class"
    there = f"{len(names)} classes ({known[1]})" if known else "no list of classes"
    raise ValueError(
        f"label maps must show whether 0 is a class, got {_shorten(numbers)} in "
        f"{evidence.words} of {where} and {there}: 1 may be {first} and 0 ignored, or 0 may be "
        f"{first}; say {FLAG}"
    )


def _check_largest(
    evidence: Evidence, known: tuple[ClassList, str], reduce_zero_label: bool
) -> None:
    """Refuse numbers that are no class, with a file."""
    classes, names_from = known
    last = len(classes.names) - 1 + int(reduce_zero_label)
    wrong = sorted(n for n in evidence.numbers if (n > last or n < 0) and n != 255)
    if wrong:
        raise ValueError(
            f"class numbers must be {'0 (ignored), ' if reduce_zero_label else ''}"
            f"{int(reduce_zero_label)}..{last} or 255 (ignored) for {len(classes.names)} classes "
            f"({names_from}), got {_shorten(wrong)} in {evidence.numbers[wrong[0]]}; a "
            "classes.txt in the data's folder names the classes, one a line"
        )


def _numbered_classes(
    evidence: Evidence, where: Path, reduce_zero_label: bool
) -> tuple[ClassList, str]:
    """Names for classes that nobody names, by their numbers in the files."""
    numbers = set(evidence.numbers) - {255}
    largest = max(numbers, default=0)
    if largest > 255 or (largest > _LARGEST_PLAIN and 2 * len(numbers) <= largest):
        raise ValueError(
            f"class numbers must count up from 0 or 1 where no list names the classes, got "
            f"{_shorten(numbers)} in {evidence.words} of {where}; name them in a classes.txt, one "
            "a line in the order of the numbers, or in a classes.csv with their colours"
        )
    first = int(reduce_zero_label)
    names = tuple(f"class {number}" for number in range(first, max(largest, first) + 1))
    return ClassList(names), "no classes.txt, so named by their numbers"


def _find_binary(
    numbers: set[int], listed: tuple[ClassList, str] | None, reduce_zero_label: bool | None
) -> dict[int, int] | None:
    """Labels of the numbers of a mask, 0 and 255 or 0 and 1; None if these are class numbers."""
    num_listed = len(listed[0].names) if listed else None
    if num_listed not in (None, 1, 2):
        return None
    if numbers == {0, 255}:
        return {0: 0, 255: 1}
    if reduce_zero_label is not None or 1 not in numbers or not numbers <= {0, 1, 255}:
        return None
    if numbers == {0, 1} or (num_listed == 1 and numbers == {0, 1, 255}):
        return {0: 0, 1: 1, 255: IGNORED_LABEL}
    return None


def _binary_classes(listed: tuple[ClassList, str] | None) -> tuple[ClassList, str]:
    if listed is None:
        return ClassList(("background", "foreground")), "no classes.txt, names assumed"
    classes, names_from = listed
    if len(classes.names) == 2:
        return listed
    colours = None
    if classes.colours is not None:
        colours = np.concatenate([np.zeros((1, 3), np.uint8), classes.colours])
    return ClassList(("background", *classes.names), colours), names_from


def _decide_colours(
    evidence: Evidence,
    where: Path,
    known: tuple[ClassList, str] | None,
    table: np.ndarray | None,
) -> Reading:
    """Colour masks by the table of the classes."""
    num_coloured = evidence.kinds["colours"] + evidence.kinds.get("grey", 0)
    if num_coloured < evidence.num_read:
        raise ValueError(
            f"label maps must all have colours or all have class numbers, got {num_coloured} with "
            f"colours among {evidence.words} of {where}"
        )
    if len(evidence.colours) > _MOST_COLOURS or evidence.has_jpeg:
        raise ValueError(
            f"label maps must have one colour a class, got {len(evidence.colours)} colours in "
            f"{evidence.words} of {where}: JPEG, or resizing with smoothing, mixes them; export "
            "them as PNG without smoothing"
        )
    if known is None or table is None:
        raise ValueError(
            f"colours of label maps must stand for classes, got {_shorten_codes(evidence.colours)} "
            f"in {evidence.words} of {where} and no list of them; write a classes.csv with the "
            "header name,r,g,b into the data's folder, a line for each class"
        )
    reading = _by_colour(known, evidence)
    assert isinstance(reading.encoding, Colours)
    named = {_code(colour) for colour in (*reading.encoding.colours, *reading.encoding.ignored)}
    unknown = {code: count for code, count in evidence.colours.items() if code not in named}
    if unknown:
        raise ValueError(
            f"colours of label maps must be those of the classes ({known[1]}), got "
            f"{_shorten_codes(unknown)} in {where}; add them to classes.csv (name,r,g,b)"
        )
    return reading


def _by_colour(known: tuple[ClassList, str], evidence: Evidence) -> Reading:
    classes, names_from = known
    assert classes.colours is not None
    colours = [_triple(colour) for colour in classes.colours.tolist()]
    if len(set(colours)) < len(colours):
        twice = next(colour for colour in colours if colours.count(colour) > 1)
        raise ValueError(f"each class must have its own colour, got {twice} twice ({names_from})")
    present = {*evidence.colours, *(code for found in evidence.palettes.values() for code in found)}
    ignored = tuple(
        colour
        for colour in (BLACK, PASCAL_BORDER)
        if colour not in colours and (colour == BLACK or _code(colour) in present)
    )
    return Reading(
        classes=classes,
        names_from=names_from,
        encoding=Colours(tuple(colours), ignored),
        reduce_zero_label=None,
    )


def _are_table_colours(evidence: Evidence, table: np.ndarray | None) -> bool:
    """Tell whether the palettes' colours, or grey values that are no labels, are in the table."""
    if table is None:
        return False
    known = {_code(_triple(colour)) for colour in table.tolist()}
    if evidence.palettes and not evidence.unpaletted:
        used = {code for found in evidence.palettes.values() for code in found}
        return bool(used & known) and used - known <= {_code(BLACK), _code(PASCAL_BORDER)}
    if not set(evidence.numbers) - {255, *range(len(known) + 1)}:
        return False
    return all(number * 0x10101 in known for number in evidence.numbers if 0 < number < 256)


def _check_palettes(evidence: Evidence, where: Path) -> None:
    """Refuse palettes in which one index has several colours."""
    for index, colours in evidence.palettes.items():
        if len(colours) > 1:
            (first, path), (second, other) = list(colours.items())[:2]
            raise ValueError(
                f"palettes of label maps must be alike, got {_rgb(first)} for number {index} in "
                f"{path} and {_rgb(second)} in {other}; a classes.csv (name,r,g,b) in {where} "
                "says what the colours are"
            )


def _decide_jpeg(evidence: Evidence, where: Path, listed: tuple[ClassList, str] | None) -> Reading:
    """Masks as JPEG: two classes can be told apart, more cannot."""
    numbers = set(evidence.numbers)
    is_binary = max(numbers, default=0) >= 255 - _BLUR and all(
        number <= _BLUR or number >= 255 - _BLUR for number in numbers
    )
    if not is_binary or (listed is not None and len(listed[0].names) > 2):
        raise ValueError(
            f"class numbers must not be stored as JPEG, which changes them, got "
            f"{_shorten(numbers)} in {evidence.words} of {where}; export them as PNG"
        )
    classes, names_from = _binary_classes(listed)
    return Reading(
        classes=classes, names_from=names_from, encoding=Threshold(), reduce_zero_label=None
    )


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
    return FileContent("colours", colours=tuple(codes[: _MOST_COLOURS + 1].tolist()))


def _code(colour: tuple[int, int, int]) -> int:
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def _rgb(code: int) -> tuple[int, int, int]:
    return (code >> 16, code >> 8 & 255, code & 255)


def _triple(colour: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = colour
    return (red, green, blue)


def _shorten(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    if len(ordered) <= _SHOWN:
        return f"the numbers {', '.join(map(str, ordered))}"
    return f"the numbers {', '.join(map(str, ordered[: _SHOWN - 1]))}, ..., {ordered[-1]}"


def _shorten_codes(counts: dict[int, int]) -> str:
    frequent = sorted(counts, key=lambda code: (-counts[code], code))
    shown = ", ".join(f"{_rgb(code)} in {counts[code]} files" for code in frequent[:_SHOWN])
    return shown + (f" and {len(frequent) - _SHOWN} more" if len(frequent) > _SHOWN else "")
