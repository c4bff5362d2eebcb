"""Label maps whose classes are colours, of the pixels or of a palette."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import ClassList
from swin_dense.datasets.formats.segmentation.label_encoding import (
    BLACK,
    PASCAL_BORDER,
    Colours,
    Reading,
)
from swin_dense.datasets.formats.segmentation.reading.evidence import MOST_COLOURS, Evidence

_SHOWN = 8


def decide_colours(
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
    if len(evidence.colours) > MOST_COLOURS or evidence.has_jpeg:
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
    reading = by_colour(known, evidence)
    assert isinstance(reading.encoding, Colours)
    named = {_code(colour) for colour in (*reading.encoding.colours, *reading.encoding.ignored)}
    unknown = {code: count for code, count in evidence.colours.items() if code not in named}
    if unknown:
        raise ValueError(
            f"colours of label maps must be those of the classes ({known[1]}), got "
            f"{_shorten_codes(unknown)} in {where}; add them to classes.csv (name,r,g,b)"
        )
    return reading


def by_colour(known: tuple[ClassList, str], evidence: Evidence) -> Reading:
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


def are_table_colours(evidence: Evidence, table: np.ndarray | None) -> bool:
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


def check_palettes(evidence: Evidence, where: Path) -> None:
    """Refuse palettes in which one index has several colours."""
    for index, colours in evidence.palettes.items():
        if len(colours) > 1:
            (first, path), (second, other) = list(colours.items())[:2]
            raise ValueError(
                f"palettes of label maps must be alike, got {_rgb(first)} for number {index} in "
                f"{path} and {_rgb(second)} in {other}; a classes.csv (name,r,g,b) in {where} "
                "says what the colours are"
            )


def _code(colour: tuple[int, int, int]) -> int:
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def _rgb(code: int) -> tuple[int, int, int]:
    return (code >> 16, code >> 8 & 255, code & 255)


def _triple(colour: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = colour
    return (red, green, blue)


def _shorten_codes(counts: dict[int, int]) -> str:
    frequent = sorted(counts, key=lambda code: (-counts[code], code))
    shown = ", ".join(f"{_rgb(code)} in {counts[code]} files" for code in frequent[:_SHOWN])
    return shown + (f" and {len(frequent) - _SHOWN} more" if len(frequent) > _SHOWN else "")
