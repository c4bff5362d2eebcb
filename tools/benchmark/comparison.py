"""Figures of `benchmark` as a table, plain data and a picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from swin_dense.heads.detection.graph.agreement import pair_detections
from swin_dense.tools.benchmark.measuring import Measurement
from swin_dense.tools.benchmark.ways import WAYS

_NEAR = 1.0  # px within which two boxes of a label are one detection


def agreement(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Agreement of two results of an image.

    Returns:
        Of label maps `same`, the share of pixels. Of detections `same`, the share that both have,
        and of those the largest differences `boxes` (px) and `scores`.
    """
    if "label_map" in expected:
        return {"same": float(np.mean(expected["label_map"] == found["label_map"]))}
    pairs = pair_detections(expected, found, near=_NEAR)
    most = max(len(expected["scores"]), len(found["scores"]))
    if not pairs:
        return {"same": 1.0 if most == 0 else 0.0, "boxes": 0.0, "scores": 0.0}
    ours, theirs = (list(side) for side in zip(*pairs, strict=True))
    apart = {
        name: float(np.abs(expected[name][ours] - found[name][theirs]).max())
        for name in ("boxes", "scores")
    }
    return {"same": len(pairs) / most, **apart}


def as_data(measured: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """The figures of each way, as `benchmark.json` has them."""
    expected = measured["eager"].result
    data: dict[str, dict[str, Any]] = {}
    for name, found in measured.items():
        data[name] = {
            "seconds": found.seconds,
            "first_seconds": found.first_seconds,
            "memory_mib": found.memory,
            "times_eager": measured["eager"].seconds / found.seconds,
            "agreement": None,
            "error": found.error,
        }
        if expected is not None and found.result is not None:
            data[name]["agreement"] = agreement(expected, found.result)
    return data


def as_table(data: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """The figures to be read by people."""
    table = Table(title=title, title_justify="left")
    table.add_column("way")
    for column in ("ms an image", "speed", "MiB", "first, s"):
        table.add_column(column, justify="right")
    table.add_column("the same as eager")
    for name, row in data.items():
        if row["error"] is not None:
            table.add_row(WAYS[name].title, "", "", "", "", row["error"])
            continue
        table.add_row(
            WAYS[name].title,
            f"{1000 * row['seconds']:.1f}",
            f"{row['times_eager']:.2f}",
            f"{row['memory_mib']:.0f}",
            f"{row['first_seconds']:.1f}",
            _in_words(row["agreement"]),
        )
    return table


def draw(data: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> None:
    """A picture of time and memory, a bar for each way."""
    rows = [(WAYS[name], row) for name, row in data.items() if row["error"] is None]
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    figure.suptitle(title, fontsize=9)
    names = [way.title for way, _ in rows]
    colours = ["#b8bec6" if way.is_peer else "#2a6f97" for way, _ in rows]
    for axes, values, label in (
        (left, [1000 * row["seconds"] for _, row in rows], "ms an image"),
        (right, [row["memory_mib"] for _, row in rows], "MiB at most"),
    ):
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, [_round(value) for value in values], padding=3, fontsize=8)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    left.invert_yaxis()
    figure.savefig(path, dpi=150)


def _round(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or math.isnan(value) else f"{value:.1f}"


def _in_words(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "(random weights)"
    if "boxes" not in found:
        return f"{found['same']:.3%} of the pixels"
    words: Sequence[str] = (
        f"{found['same']:.1%} of the detections",
        f"boxes to {found['boxes']:.2g} px",
        f"scores to {found['scores']:.1g}",
    )
    return ", ".join(words)
