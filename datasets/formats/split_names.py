"""Names under which layouts know their splits, and the one that a name asks for."""

import re
from collections.abc import Sequence

_TRAINING = ("train2017", "train", "training")
_VALIDATION = ("val2017", "val", "valid", "validation", "dev", "eval", "evaluation")
_TEST = ("test2017", "test", "testing")
_KINDS = (_TRAINING, _VALIDATION, _TEST)
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
    return name.casefold() in _TRAINING


def published_name(name: str) -> str:
    """Name of the split as COCO has it: `val2017` for `valid`; others stay."""
    for kind in _KINDS:
        if name.casefold() in kind:
            return kind[0]
    return name


def find_training_split(names: Sequence[str]) -> str | None:
    """The split to train on where none is asked for: by its name, or the only one that is left."""
    named = _find(names, _TRAINING)
    if named is not None:
        return named
    others = [name for name in names if name.casefold() not in (*_VALIDATION, *_TEST)]
    return others[0] if len(others) == 1 else None


def find_validation_split(names: Sequence[str]) -> str | None:
    """The split to evaluate on where none is asked for, by its name."""
    return _find(names, _VALIDATION)


def _find(names: Sequence[str], kind: Sequence[str]) -> str | None:
    found = {name.casefold(): name for name in reversed(names)}
    return next((found[name] for name in kind if name in found), None)
