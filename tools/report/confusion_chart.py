"""A confusion matrix to be read: a table for few classes, a picture and a list for many."""

import base64
import html
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swin_dense.tools.report.page import details, heading, paragraph, row, table
from swin_dense.tools.report.score_text import in_short
from swin_dense.tools.report.style import BLUE, ORANGE
from swin_dense.tools.tasks.scores import Confusion

_MOST_IN_TABLE = 24  # rows
_MOST_BESIDE = 10  # rows of a table that leaves room for the list
_MOST_LISTED = 12
_CELL = 14  # px of the large picture
_FONT = 12  # px of its names
_LONGEST_NAME = 22  # characters


def confusion_blocks(confusion: Confusion) -> list[str]:
    """The matrix, and the most frequent confusions.

    Cells are shaded by their share of the row: what is right in blue, what is wrong in orange.
    """
    shares = row_shares(confusion.counts)
    words = (
        f"{confusion.rule} Rows are the ground truth, columns the prediction; shading goes by the "
        "share of the row."
    )
    pairs = _confusion_list(confusion, shares)
    num_rows = len(confusion.names)
    if num_rows <= _MOST_IN_TABLE:
        count = f"number of {confusion.unit}"
        shown = "share of its row in percent" if confusion.is_read_in_shares else count
        rule = paragraph(f"{words} In each cell is the {shown}.", kind="muted")
        cells = _as_table(confusion, shares)
        return [rule, row(cells, pairs) if num_rows <= _MOST_BESIDE else cells + pairs]
    rule = paragraph(words, kind="muted")
    size = 4 * num_rows
    overview = (
        f'<figure><img alt="confusion matrix" style="image-rendering:pixelated;width:{size}px" '
        f'src="{_as_png(shares)}"><figcaption>All {num_rows} rows, in the order of the '
        "labels; a clean blue diagonal is what one wants.</figcaption></figure>"
    )
    named = details(
        "The matrix with the names of its rows and columns", _as_named(confusion, shares)
    )
    return [rule, row(overview, pairs), named]


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each entry as a share of its row; 0 in rows without anything."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)


def _as_table(confusion: Confusion, shares: NDArray[np.float64]) -> str:
    names = [html.escape(name) for name in confusion.names]
    head = "".join(f'<th class="class"><span>{name}</span></th>' for name in names)
    lines = []
    for i, name in enumerate(names):
        cells = "".join(_cell(confusion, shares, i, j) for j in range(len(names)))
        lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    return (
        '<div class="scroll"><table class="matrix">\n'
        f'<thead><tr><th class="axis">truth ↓<br>taken for →</th>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table></div>"
    )


def _cell(confusion: Confusion, shares: NDArray[np.float64], i: int, j: int) -> str:
    count, share = int(confusion.counts[i, j]), float(shares[i, j])
    if not count:
        return "<td></td>"
    if confusion.is_read_in_shares:
        text = f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"
    else:
        text = in_short(count)
    opacity = _opacity(share)
    red, green, blue = _rgb(BLUE if i == j else ORANGE)
    ink = "#fff" if i == j and opacity > 0.6 else "var(--ink)"
    title = f"{count} {confusion.unit}, {100 * share:.1f}% of the row"
    return (
        f'<td title="{title}" style="background:rgba({red},{green},{blue},{opacity:.2f});'
        f'color:{ink}">{html.escape(text)}</td>'
    )


def _confusion_list(confusion: Confusion, shares: NDArray[np.float64]) -> str:
    """The largest entries off the diagonal, between classes alone."""
    classes = range(len(confusion.names) - confusion.has_background)
    pairs = [(int(confusion.counts[i, j]), i, j) for i in classes for j in classes if i != j]
    largest = sorted((pair for pair in pairs if pair[0]), key=lambda pair: -pair[0])[:_MOST_LISTED]
    title = heading("Most frequent confusions of classes", level=3)
    if not largest:
        return title + paragraph("None.", kind="muted")
    lines = [
        [
            confusion.names[i],
            confusion.names[j],
            in_short(count),
            f"{100 * shares[i, j]:.1f}%",
        ]
        for count, i, j in largest
    ]
    return title + table(
        ["truth", "taken for", confusion.unit, "share of truth"], lines, num_texts=2
    )


def _as_named(confusion: Confusion, shares: NDArray[np.float64]) -> str:
    """The picture with a name at each row and column, large enough to be read; it scrolls."""
    names = [
        name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        for name in confusion.names
    ]
    side = _CELL * len(names)
    margin = round(0.62 * _FONT * max(len(name) for name in names)) + 12
    rows = "".join(
        f'<text x="{margin - 5}" y="{margin + _CELL * i + _CELL - 3}" text-anchor="end">'
        f"{html.escape(name)}</text>"
        for i, name in enumerate(names)
    )
    columns = "".join(
        f'<text transform="translate({margin + _CELL * j + _CELL - 3},{margin - 5}) rotate(-90)">'
        f"{html.escape(name)}</text>"
        for j, name in enumerate(names)
    )
    size = margin + side + 8
    return (
        f'<div class="scroll heat"><svg width="{size}" height="{size}" font-size="{_FONT}" '
        'style="fill:var(--ink)">'
        f'<text x="4" y="{_FONT + 2}" style="fill:var(--muted)">truth ↓ taken for →</text>'
        f"{rows}{columns}"
        f'<image x="{margin}" y="{margin}" width="{side}" height="{side}" '
        f'style="image-rendering:pixelated" href="{_as_png(shares)}"/></svg></div>'
    )


def _as_png(shares: NDArray[np.float64]) -> str:
    """One pixel for each cell, as a data URL; what is empty shows the ground of the page."""
    is_right = np.eye(len(shares), dtype=bool)[..., None]
    colour = np.where(is_right, _rgb(BLUE), _rgb(ORANGE))  # (N, N, 3)
    opacity = 255 * np.sqrt(shares)[..., None]
    pixels = np.concatenate([colour, opacity], axis=-1).round().astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def _opacity(share: float) -> float:
    """Small shares must be seen too."""
    return 0.08 + 0.82 * share**0.5


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
