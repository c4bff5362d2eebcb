"""Meaning of the contents of label maps.

Class numbers have two readings: 0 is ignored and 1..K are the classes (ADE20K), or 0..K-1 are the
classes and 255 is ignored (Pascal VOC, Cityscapes). Where the layout does not say which, the files
do: a number K can only be the last of 1..K, a 0 beside a 255 can only be a class.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.segmentation.label_encoding import (
    Numbers,
    NumberTable,
    Reading,
    Threshold,
)
from swin_dense.datasets.formats.segmentation.pairs import raise_faults
from swin_dense.datasets.formats.segmentation.reading.colour_masks import (
    are_table_colours,
    by_colour,
    check_palettes,
    decide_colours,
)
from swin_dense.datasets.formats.segmentation.reading.evidence import Evidence
from swin_dense.datasets.label_maps import IGNORED_LABEL

FLAG = "--data.reduce-zero-label true or false (evaluate: --reduce-zero-label)"
_BLUR = 32  # the most by which JPEG moves a grey value of 0 or 255, of 255
_LARGEST_PLAIN = 20  # up to this number classes may be missing without a list of them
_SHOWN = 8


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
        return decide_colours(evidence, where, listed or assumed, table)
    if not is_stated and listed and are_table_colours(evidence, table):
        return by_colour(listed, evidence)
    check_palettes(evidence, where)
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


def _shorten(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    if len(ordered) <= _SHOWN:
        return f"the numbers {', '.join(map(str, ordered))}"
    return f"the numbers {', '.join(map(str, ordered[: _SHOWN - 1]))}, ..., {ordered[-1]}"
