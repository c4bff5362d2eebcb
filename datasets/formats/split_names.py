"""Names under which layouts know their splits, and the one that a name asks for."""

import re
from collections.abc import Iterable, Sequence

# Names that people give the same part; the first is COCO's.
TRAINING_NAMES = ("train2017", "train", "training")
VALIDATION_NAMES = ("val2017", "val", "valid", "validation", "dev", "eval", "evaluation")
TEST_NAMES = ("test2017", "test", "testing")
_KINDS = (TRAINING_NAMES, VALIDATION_NAMES, TEST_NAMES)
SPLIT_NAMES = (*TRAINING_NAMES, *VALIDATION_NAMES, *TEST_NAMES)
ADE20K_NAMES = ("training", "validation", "testing")  # in the order of the kinds
WHOLE = "all"  # the one split of a layout that has none


def order_splits(names: Sequence[str]) -> list[str]:
    """Training before validation before test before all others, each in the alphabet's order."""

    def place(name: str) -> tuple[int, int, str]:
        for number, kind in enumerate(_KINDS):
            if name.casefold() in kind:
                return number, kind.index(name.casefold()), name
        return len(_KINDS), 0, name

    return sorted(names, key=place)


def split_in_name(text: str) -> str | None:
    """The split that a file's name speaks of: "val" for `annotations_val`; else None."""
    words = re.split(r"[^0-9A-Za-z]+", text)
    return next((word for word in words if any(word.casefold() in kind for kind in _KINDS)), None)


def is_training_name(name: str) -> bool:
    """Tell whether a split of that name is for training everywhere."""
    return name.casefold() in TRAINING_NAMES


def published_name(name: str, published: Sequence[str] = tuple(kind[0] for kind in _KINDS)) -> str:
    """Name of the split as a published data set has it; names of no kind stay.

    Args:
        name: "valid".
        published: its names for training, validation and test; COCO's, or `ADE20K_NAMES`.
    """
    for kind, first in zip(_KINDS, published, strict=True):
        if name.casefold() in kind:
            return first
    return name


def find_name(wanted: str, names: Iterable[str]) -> str | None:
    """The name among `names` that is `wanted`, or means the same part; None where there is none."""
    there = list(names)
    if wanted in there:
        return wanted
    same = next((kind for kind in _KINDS if wanted in kind), ())
    return next((name for name in same if name in there), None)


def find_training_split(names: Sequence[str]) -> str | None:
    """The split to train on where none is asked for: by its name, or the only one that is left."""
    named = _find(names, TRAINING_NAMES)
    if named is not None:
        return named
    others = [name for name in names if name.casefold() not in (*VALIDATION_NAMES, *TEST_NAMES)]
    return others[0] if len(others) == 1 else None


def find_validation_split(names: Sequence[str]) -> str | None:
    """The split to evaluate on where none is asked for, by its name."""
    return _find(names, VALIDATION_NAMES)


def _find(names: Sequence[str], kind: Sequence[str]) -> str | None:
    found = {name.casefold(): name for name in reversed(names)}
    return next((found[name] for name in kind if name in found), None)
