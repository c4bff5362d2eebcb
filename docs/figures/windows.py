"""Draw `windows.svg`: how the tokens of a map come into the order of its shifted windows.

python docs/figures/windows.py
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from swin_dense.windowing.windows import (
    BOTTOM,
    CORNER,
    INSIDE,
    PADDING,
    RIGHT,
    cut_map,
    sort_by_kind,
)

SIDE, WINDOW, SHIFT = 7, 4, 2
PADDED = 8
COLORS = {INSIDE: "#8fb9e3", RIGHT: "#f3c46f", BOTTOM: "#9fd39a", CORNER: "#e3a5c7"}
NAMES = {INSIDE: "inside", RIGHT: "right", BOTTOM: "bottom", CORNER: "corner"}
INK = "#14181d"  # on the colours
SEAM = "#d9485f"
GREY = "#7d8590"  # beside them: legible on white and on black
WIDTH, HEIGHT = 400, 520  # px, as is every length below
CELL = 22
POINTS_PER_PIXEL = 0.75


def main() -> None:
    """Write the figure beside this file."""
    mpl.rcParams |= {
        "svg.fonttype": "none",
        "svg.hashsalt": "windows",
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    }
    inches = POINTS_PER_PIXEL / 72
    figure = Figure(figsize=(WIDTH * inches, HEIGHT * inches))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.axis("off")

    windows = sort_by_kind(cut_map(SIDE, SIDE, window=WINDOW, shift=SHIFT))
    slots = {int(kind): row for kind, row in zip(windows.kinds, windows.slots, strict=True)}
    kind_of_token = {int(n): kind for kind, row in slots.items() for n in row if n != PADDING}
    draw_padded_map(axes, (8, 34), kind_of_token)
    draw_windows(axes, (206, 34), slots)
    draw_slots(axes, (24, 288), slots)
    draw_order(axes, (8, 490), [kind_of_token[int(n)] for n in windows.order])
    path = Path(__file__).with_suffix(".svg")
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def draw_padded_map(axes: Axes, corner: tuple[int, int], kind_of_token: dict[int, int]) -> None:
    """The image's tokens row by row, coloured by the window they will be in."""
    left, top = corner
    write(axes, (left, top - 12), "1 · padded to whole windows")
    for row in range(PADDED):
        for column in range(PADDED):
            is_token = row < SIDE and column < SIDE
            number = row * SIDE + column if is_token else PADDING
            place = (left + column * CELL, top + row * CELL)
            draw_cell(axes, place, number, kind_of_token.get(number))


def draw_windows(axes: Axes, corner: tuple[int, int], slots: dict[int, np.ndarray]) -> None:
    """The rolled map as four windows, with the seams at which opposite sides of the image meet."""
    left, top = corner
    gap, side = 10, WINDOW * CELL
    write(axes, (left, top - 12), f"2 · rolled by {SHIFT}, cut")
    for kind, numbers in slots.items():
        x = left + (side + gap) * (kind in (RIGHT, CORNER))
        y = top + (side + gap) * (kind in (BOTTOM, CORNER))
        for slot, number in enumerate(numbers.tolist()):
            row, column = divmod(slot, WINDOW)
            draw_cell(axes, (x + column * CELL, y + row * CELL), number, kind)
        seam = (WINDOW - SHIFT) * CELL
        if kind in (RIGHT, CORNER):
            axes.plot((x + seam, x + seam), (y, y + side), color=SEAM, lw=2)
        if kind in (BOTTOM, CORNER):
            axes.plot((x, x + side), (y + seam, y + seam), color=SEAM, lw=2)
    bottom = top + 2 * side + gap + 16
    axes.plot((left, left + 22), (bottom, bottom), color=SEAM, lw=2)
    write(axes, (left + 28, bottom), "no attention across", size=11)


def draw_slots(axes: Axes, corner: tuple[int, int], slots: dict[int, np.ndarray]) -> None:
    """The slots of each window in one row."""
    left, top = corner
    write(axes, (8, top - 32), "3 · the slots of each window")
    for row, (kind, numbers) in enumerate(slots.items()):
        y = top + row * 47
        held = int((numbers != PADDING).sum())
        chip = FancyBboxPatch(
            (left + 2, y - 16),
            44,
            9,
            boxstyle="round,pad=2,rounding_size=4",
            facecolor=COLORS[kind],
            edgecolor="none",
        )
        axes.add_patch(chip)
        write(axes, (left + 24, y - 11), NAMES[kind], color=INK, align="center", size=11)
        write(axes, (left + 56, y - 11), f"{held} of {len(numbers)} hold a token", size=11)
        for slot, number in enumerate(numbers.tolist()):
            draw_cell(axes, (left + slot * CELL, y), number, kind)


def draw_order(axes: Axes, corner: tuple[int, int], kinds: list[int]) -> None:
    """All tokens in the order in which they stand in memory."""
    left, top = corner
    write(axes, (left, top - 16), f"4 · in memory: the {len(kinds)} tokens, nothing else")
    width = (WIDTH - 2 * left) / len(kinds)
    for index, kind in enumerate(kinds):
        cell = Rectangle((left + index * width + 0.5, top), width - 1, 20, facecolor=COLORS[kind])
        axes.add_patch(cell)


def draw_cell(axes: Axes, place: tuple[float, float], number: int, kind: int | None) -> None:
    """One slot: a token's number on its window's colour, or an empty frame."""
    x, y = place
    if number == PADDING or kind is None:
        frame = Rectangle(
            (x + 2, y + 2), CELL - 4, CELL - 4, fill=False, edgecolor=GREY, lw=0.7, ls=(0, (2, 2))
        )
        axes.add_patch(frame)
        return
    axes.add_patch(Rectangle((x + 0.5, y + 0.5), CELL - 1, CELL - 1, facecolor=COLORS[kind]))
    write(axes, (x + CELL / 2, y + CELL / 2), str(number), color=INK, align="center", size=11.5)


def write(
    axes: Axes,
    place: tuple[float, float],
    text: str,
    *,
    color: str = GREY,
    align: str = "left",
    size: float = 13,
) -> None:
    """Text whose middle line goes through a place."""
    weight = "bold" if size >= 13 else "normal"
    axes.text(
        *place,
        text,
        color=color,
        ha=align,
        va="center_baseline",
        fontsize=size * POINTS_PER_PIXEL,
        fontweight=weight,
    )


if __name__ == "__main__":
    main()
