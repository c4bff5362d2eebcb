"""Charts as SVG inside a page; text stays text, legends are the page's."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from swin_dense.tools.report.page import heading, legend, paragraph
from swin_dense.tools.report.style import BLUE, FAINT, GRID, INK, MUTED, ORANGE, RULE, themed

COLOURS = (BLUE, ORANGE, "#3a9a6b", "#b8478c", "#7a6bc4", "#b39b1d", "#3f9fb8", "#8a5a44")
_SIZE = (4.3, 2.55)  # inches of 72 pt
_FONT = 11.3  # pt: 12 px in a chart of 330 px, on a page of 360 px, and larger on wider ones
_MOST_POINTS = 200
_PALE = 0.4  # opacity
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "swin-dense",  # the same chart gives the same bytes
    "font.size": _FONT,
    "text.parse_math": False,  # a class may have a dollar in its name
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend; "" for none.
        x, y: its points; nan and None leave a gap.
        colour: None: the next one.
        kind: "faint" lines lie below the others, pale in a colour of their own; "dashed" ones are
            for comparison; "dots" are not joined.
    """

    name: str
    x: Sequence[float] | NDArray[np.float64]
    y: Sequence[float | None] | NDArray[np.float64]
    colour: str | None = None
    kind: Literal["", "dashed", "faint", "dots"] = ""


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_name: str,
    y_name: str = "",
    x_range: tuple[float | None, float | None] = (0, None),
    y_range: tuple[float | None, float | None] = (None, None),
    texts: Sequence[tuple[float, float, str]] = (),
    same: float = 1e-3,
) -> str:
    """A figure with its title above and its legend below.

    Where every line is of one point or of one value there is nothing to see in a chart: a sentence
    says the values instead. Dashed lines, which are for comparison, do not count.

    Args:
        title: plain text.
        lines: what to draw; long ones are thinned to means of neighbouring points.
        x_name: what the horizontal axis shows, with its unit.
        y_name: what the vertical axis shows, where the title leaves it open.
        x_range: of the horizontal axis; None fits an end.
        y_range: of the vertical axis; None fits an end.
        texts: x, y and what is written beside that point.
        same: values that differ by less, as a share of the largest, count as one value.
    """
    constant = _describe_constant(lines, x_name=x_name, same=same)
    if constant:
        name = heading(f"{title}:", level=3)
        return f'<figure class="constant">{name} {paragraph(constant)}</figure>'
    names: list[tuple[str, str, str]] = []
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        next_colour = iter(COLOURS * (len(lines) // len(COLOURS) + 1))
        for line in lines:
            default = FAINT if line.kind == "faint" else next(next_colour)
            colour = default if line.colour is None else line.colour
            is_dotted = line.kind == "dots"
            x, y = thin(line.x, line.y, size=1 if is_dotted else None)
            axes.plot(
                x,
                y,
                color=colour,
                alpha=_PALE if line.kind == "faint" and line.colour is not None else None,
                linewidth=0 if is_dotted else 1.1 if line.kind else 1.7,
                linestyle=(0, (4, 3)) if line.kind == "dashed" else "-",
                marker="o" if is_dotted or len(x) == 1 else "",
                markersize=4,
                clip_on=not is_dotted,
                zorder=1 if line.kind == "faint" else 2,
            )
            if line.name:
                names.append((line.name, colour, line.kind))
        for x_place, y_place, text in texts:
            axes.annotate(text, (x_place, y_place), xytext=(5, -3), textcoords="offset points")
        axes.set_xlabel(x_name)
        axes.set_ylabel(y_name)
        axes.set_xlim(*x_range)
        axes.set_ylim(*y_range)
        highest = axes.dataLim.ymax
        if y_range == (0, None) and np.isfinite(highest) and highest > 0:
            axes.set_ylim(0, 1.06 * highest)  # the margin is of the whole height, not of the line's
        axes.tick_params(length=0)
        axes.locator_params(axis="both", nbins=6)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata=_NO_METADATA, transparent=True)
    svg = themed(drawn.getvalue()[drawn.getvalue().index("<svg") :])
    below = legend(names) if len(names) > 1 else ""
    return f"<figure>{heading(title, level=3)}{svg}{below}</figure>"


def _describe_constant(lines: Sequence[Line], *, x_name: str, same: float) -> str:
    """The values of lines that are all of one point or of one value; "" for lines to draw."""
    words: list[tuple[str, str]] = []
    for line in lines:
        points = [
            (x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None and np.isfinite(y)
        ]
        if line.kind == "dots" and points:
            return ""
        if line.kind == "dashed" or not points:
            continue
        low, high = min(y for _, y in points), max(y for _, y in points)
        if len(points) > 1 and high - low > same * max(abs(low), abs(high)):
            return ""
        place = f"at {x_name} {points[0][0]:g}" if len(points) == 1 else f"at every {x_name}"
        value = " to ".join(dict.fromkeys((_short(low), _short(high))))
        words.append((f"{line.name} {value}".strip(), place))
    if not words:
        return "No values."
    places = {place for _, place in words}
    if len(places) == 1:
        return f"{', '.join(value for value, _ in words)} {places.pop()}."
    return f"{', '.join(f'{value} {place}' for value, place in words)}."


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def thin(
    x: Sequence[float] | NDArray[np.float64],
    y: Sequence[float | None] | NDArray[np.float64],
    *,
    size: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of `size` neighbouring points each; None of as many as leave 200. None becomes nan."""
    points = np.array([[a, np.nan if b is None else b] for a, b in zip(x, y, strict=True)], float)
    points = points.reshape(-1, 2)
    size = max(1, -(-len(points) // _MOST_POINTS)) if size is None else size
    means = [points[first : first + size].mean(0) for first in range(0, len(points), size)]
    thinned = np.array(means).reshape(-1, 2)
    return thinned[:, 0], thinned[:, 1]
