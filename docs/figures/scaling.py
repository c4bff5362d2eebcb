"""Draw `scaling.svg`: cost a pixel of Swin-T and of DeiT-S, counted and measured, up to 8K.

python docs/figures/scaling.py

The figures measured are those of `scaling.json`, which `benchmarks/scaling.py --json` writes; those
counted are Equations 1 and 2 of Liu et al. 2021.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

Figures = Mapping[str, Mapping[str, Mapping[str, float] | None]]
"""By model and size: seconds, peak and added MiB; None for what did not end."""

PIXELS = {"512": 512 * 512, "1080p": 1080 * 1920, "4k": 2160 * 3840, "8k": 4320 * 7680}
TICKS = {"512": "512²", "1080p": "1080p", "4k": "4K", "8k": "8K"}
NAMES = {
    "swin_dense": "Swin-T, here",
    "torchvision": "Swin-T, torchvision",
    "deit_s": "DeiT-S, timm",
}
COLORS = {"swin_dense": "#3f8fe0", "torchvision": "#3fa66b", "deit_s": "#d9485f"}
GREY = "#7d8590"  # legible on white and on black
WIDTH, HEIGHT = 560, 640  # px
POINTS_PER_PIXEL = 0.75
STYLE = Path(__file__).with_name("figures.mplstyle")

# Depths, channels and strides (px) of the stages; windows of 7 x 7 tokens.
SWIN_T = ((2, 96, 4), (2, 192, 8), (6, 384, 16), (2, 768, 32))
DEIT_S = ((12, 384, 16),)
WINDOW = 7


def main(flags: Sequence[str] | None = None) -> None:
    """Write the figure beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__)
    parser.add_argument("--json", type=Path, default=here.with_suffix(".json"))
    parser.add_argument("--out", type=Path, default=here.with_suffix(".svg"))
    arguments = parser.parse_args(flags)
    figure = draw(json.loads(arguments.json.read_text())["models"])
    figure.savefig(arguments.out, transparent=True, metadata={"Date": None, "Creator": None})


def global_attention(num_tokens: float, channels: int) -> float:
    """Multiply-adds of a global multi-head self-attention. Equation 1."""
    return 4 * num_tokens * channels**2 + 2 * num_tokens**2 * channels


def window_attention(num_tokens: float, channels: int, window: int) -> float:
    """Multiply-adds of one within windows of `window` x `window` tokens. Equation 2."""
    return 4 * num_tokens * channels**2 + 2 * window**2 * num_tokens * channels


def count_a_pixel(
    num_pixels: float, stages: Sequence[tuple[int, int, int]], *, windows: bool
) -> float:
    """Multiply-adds of all attention layers, over the pixels of the image.

    Args:
        num_pixels: of the image.
        stages: blocks, channels and stride (px) of each.
        windows: whether they attend within windows, or to all.
    """
    total = 0.0
    for depth, channels, stride in stages:
        num_tokens = num_pixels / stride**2
        if windows:
            total += depth * window_attention(num_tokens, channels, WINDOW)
        else:
            total += depth * global_attention(num_tokens, channels)
    return total / num_pixels


def draw(figures: Figures) -> Figure:
    """Three panels over one axis of image sizes."""
    mpl.rcParams |= mpl.rc_params_from_file(STYLE, use_default_template=False)
    mpl.rcParams["svg.hashsalt"] = "scaling"
    inches = POINTS_PER_PIXEL / 72
    figure = Figure(figsize=(WIDTH * inches, HEIGHT * inches))
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    draw_counts(top)
    draw_measured(middle, figures, "seconds", scale=1e6, title="Time, measured: µs a pixel")
    draw_measured(
        bottom, figures, "added", scale=2**10, title="Memory of a forward, measured: KiB a pixel"
    )
    for axes in (top, middle, bottom):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(PIXELS["512"] / 1.5, PIXELS["8k"] * 9)  # names stand behind the last point
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.grid(axis="both", color=GREY, alpha=0.25, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(FixedLocator(list(PIXELS.values())))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda _, place: list(TICKS.values())[place or 0])
        )
        axes.tick_params(which="both", length=0, labelbottom=True)
    figure.subplots_adjust(left=0.09, right=0.99, top=0.95, bottom=0.05, hspace=0.38)
    return figure


def draw_counts(axes: Axes) -> None:
    """Both equations, for the layers of the models that are measured."""
    pixels = np.geomspace(PIXELS["512"], PIXELS["8k"], 50)
    for name, stages, windows, label in (
        ("deit_s", DEIT_S, False, "DeiT-S, equation 1"),
        ("swin_dense", SWIN_T, True, "Swin-T, equation 2"),
    ):
        counts = [count_a_pixel(number, stages, windows=windows) / 1000 for number in pixels]
        axes.plot(pixels, counts, color=COLORS[name], lw=2, ls=(0, (4, 2)))
        write_name(axes, (pixels[-1], counts[-1]), label, COLORS[name])
    write_title(axes, "Attention, counted: thousand multiply-adds a pixel")


def draw_measured(axes: Axes, figures: Figures, quantity: str, *, scale: float, title: str) -> None:
    """One curve a model, as far as it came."""
    for name, rows in figures.items():
        points = [
            (PIXELS[size], row[quantity] * scale / PIXELS[size])
            for size in PIXELS
            if (row := rows.get(size)) is not None
        ]
        axes.plot(*zip(*points, strict=True), color=COLORS[name], lw=2, marker="o", ms=4)
        write_name(axes, points[-1], NAMES[name], COLORS[name])
    write_title(axes, title)


def write_title(axes: Axes, text: str) -> None:
    """Words above a panel, at its left."""
    axes.set_title(text, loc="left", fontsize=13 * POINTS_PER_PIXEL, fontweight="bold", pad=6)


def write_name(axes: Axes, place: tuple[Any, Any], text: str, color: str) -> None:
    """Name of a curve, behind its last point."""
    axes.annotate(
        text, place, (8, 0), textcoords="offset points", color=color, va="center_baseline"
    )


if __name__ == "__main__":
    main()
