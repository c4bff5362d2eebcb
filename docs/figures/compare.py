"""Draw `compare.svg`: loss and top-1 of a classifier with GELU and with ReLU, over its training.

python docs/figures/compare.py

The figures are those of `compare.json`, a `comparison.json` that `swin-dense compare` wrote.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#3f8fe0", "#d9822b", "#3fa66b", "#b8478c")
GREY = "#7d8590"  # legible on white and on black
WIDTH, HEIGHT = 560, 250  # px
POINTS_PER_PIXEL = 0.75
STYLE = Path(__file__).with_name("figures.mplstyle")


def main(flags: Sequence[str] | None = None) -> None:
    """Write the figure beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__)
    parser.add_argument("--json", type=Path, default=here.with_suffix(".json"))
    parser.add_argument("--out", type=Path, default=here.with_suffix(".svg"))
    arguments = parser.parse_args(flags)
    figure = draw(json.loads(arguments.json.read_text()))
    figure.savefig(arguments.out, transparent=True, metadata={"Date": None, "Creator": None})


def draw(comparison: Mapping[str, Any]) -> Figure:
    """Two panels over the steps: a thick line for the mean of each variant, a thin one a run."""
    mpl.rcParams |= mpl.rc_params_from_file(STYLE, use_default_template=False)
    mpl.rcParams["svg.hashsalt"] = "compare"
    inches = POINTS_PER_PIXEL / 72
    figure = Figure(figsize=(WIDTH * inches, HEIGHT * inches))
    left, right = figure.subplots(1, 2)
    draw_curves(left, comparison, "loss", title="Training loss")
    draw_curves(right, comparison, "top-1", title="Top-1, %", scale=100)
    for axes in (left, right):
        axes.set_ylim(0)
        axes.set_xlim(0)
        axes.set_xlabel("step")
        axes.grid(axis="both", color=GREY, alpha=0.25, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", length=0)
    left.legend(frameon=False, labelcolor="linecolor", loc="upper right")
    figure.subplots_adjust(left=0.06, right=0.98, top=0.89, bottom=0.18, wspace=0.2)
    return figure


def draw_curves(
    axes: Axes, comparison: Mapping[str, Any], name: str, *, title: str, scale: float = 1
) -> None:
    """The curves of one figure."""
    for variant, color in zip(comparison["variants"], COLORS, strict=False):
        curves = [dict(map(tuple, run["curves"][name])) for run in variant["runs"]]
        for curve in curves:
            axes.plot(
                list(curve),
                [scale * value for value in curve.values()],
                color=color,
                lw=0.8,
                alpha=0.45,
            )
        means = [scale * fmean(curve[step] for curve in curves) for step in curves[0]]
        axes.plot(list(curves[0]), means, color=color, lw=2, label=variant["name"])
    axes.set_title(title, loc="left", fontsize=13 * POINTS_PER_PIXEL, fontweight="bold", pad=6)


if __name__ == "__main__":
    main()
