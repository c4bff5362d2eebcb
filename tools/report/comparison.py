"""Two runs beside each other: recipes, losses, scores, classes, precision and recall."""

from typing import Any

import numpy as np

from swin_dense.tools.report.charts import Line, line_chart
from swin_dense.tools.report.page import Bar, Section, bars, legend, paragraph, row, table
from swin_dense.tools.report.score_text import ABSENT, in_percent, in_points, in_short
from swin_dense.tools.report.sections import MEMORY_IS_SAME, over_steps, recall_chart
from swin_dense.tools.report.style import BLUE, ORANGE
from swin_dense.tools.runs.evaluations import EvaluationRecord
from swin_dense.tools.runs.folder import RunFolder, describe_progress, describe_run

_COLOURS = (BLUE, ORANGE)


def comparison_blocks(first: RunFolder, second: RunFolder) -> list[str | Section]:
    """Everything in which two runs can be compared; differences are the second less the first.

    Raises:
        ValueError: the runs are of different tasks.
    """
    runs = (first, second)
    names = _distinct_names(first, second)
    named = legend([(name, colour, "") for name, colour in zip(names, _COLOURS, strict=True)])
    blocks: list[str | Section] = [
        *(
            paragraph(f"{name}: {describe_run(run)} {describe_progress(run)}")
            for run, name in zip(runs, names, strict=True)
        ),
        named,
        *(paragraph(f"{run.name}: {fault}", kind="note") for run in runs for fault in run.faults),
        _recipe_section(runs, names),
        _training_section(runs, names),
    ]
    missing = [name for run, name in zip(runs, names, strict=True) if not run.evaluations]
    if missing:
        words = f"There is no evaluation yet in {' and '.join(missing)}."
        return [*blocks, Section(title="Scores", blocks=[paragraph(words, kind="note")])]
    if first.task.name != second.task.name:
        raise ValueError(
            f"the runs must be of one task to be compared, got {first.path} for {first.task.name} "
            f"and {second.path} for {second.task.name}"
        )
    last = (first.evaluations[-1], second.evaluations[-1])
    return [
        *blocks,
        _score_section(runs, names, last),
        _class_section(last),
        *_precision_sections(names, last),
    ]


def _distinct_names(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """Names of the folders; where those are equal, their paths."""
    if first.name != second.name:
        return first.name, second.name
    return str(first.path), str(second.path)


def _recipe_section(runs: tuple[RunFolder, RunFolder], names: tuple[str, str]) -> Section:
    flat = [_flatten(run.recipe) for run in runs]
    for recipe in flat:
        recipe.pop("task", None)  # version 0.1 did not store it
    fields = list(dict.fromkeys([*flat[0], *flat[1]]))
    rows = [
        [field, *(str(recipe.get(field, ABSENT)) for recipe in flat)]
        for field in fields
        if flat[0].get(field) != flat[1].get(field)
    ]
    if not rows:
        same = paragraph("Both runs have one recipe.", kind="muted")
        return Section(title="Recipes", blocks=[same])
    return Section(title="Recipes, where they differ", blocks=[table(["field", *names], rows)])


def _training_section(runs: tuple[RunFolder, RunFolder], names: tuple[str, str]) -> Section:
    shown = {
        "Loss": ("loss", 1.0),
        "Learning rate": ("rate", 1.0),
        "Images a second": ("images_per_second", 1.0),
        "Peak memory, GiB": ("memory_mib", 1 / 1024),
    }
    charts = []
    for title, (key, factor) in shown.items():
        lines = [
            over_steps(run, key, name=name, colour=colour, factor=factor)
            for run, name, colour in zip(runs, names, _COLOURS, strict=True)
        ]
        same = MEMORY_IS_SAME if key == "memory_mib" else 1e-3
        charts.append(line_chart(title, lines, x_name="step", y_range=(0, None), same=same))
    return Section(title="Training", blocks=[row(*charts)])


def _score_section(
    runs: tuple[RunFolder, RunFolder],
    names: tuple[str, str],
    last: tuple[EvaluationRecord, EvaluationRecord],
) -> Section:
    task = runs[0].task
    first, second = (task.score_table(record.metrics).by_name for record in last)
    scores = {name: (first.get(name), second.get(name)) for name in [*first, *second]}
    rows = [[name, *map(in_percent, pair), _difference(*pair)] for name, pair in scores.items()]
    columns = [
        "",
        *(f"{name}, step {record.step}" for name, record in zip(names, last, strict=True)),
        "difference",
    ]
    charts = []
    for key in dict.fromkeys([*last[0].headline, *last[1].headline]):
        lines = []
        for run, name, colour in zip(runs, names, _COLOURS, strict=True):
            values = [record.headline.get(key) for record in run.evaluations]
            lines.append(
                Line(
                    name=name,
                    x=[record.step for record in run.evaluations],
                    y=[None if value is None else 100 * value for value in values],
                    colour=colour,
                )
            )
        charts.append(line_chart(task.score_name(key), lines, x_name="step", y_range=(0, None)))
    words = paragraph("In percent, of the last evaluation of each run.", kind="muted")
    beside = 2 - len(charts) % 2  # of the table; the others in pairs
    first_row = row(table(columns, rows), "".join(charts[:beside]))
    blocks = [words, first_row, row(*charts[beside:])]
    return Section(title="Scores", blocks=blocks)


def _class_section(last: tuple[EvaluationRecord, EvaluationRecord]) -> Section:
    """Difference of each class that both have, the largest gain first."""
    first, second = (record.classes for record in last)
    score = next(iter(first.scores))
    places = {name: place for place, name in enumerate(second.names)}
    pairs = [
        (name, first.scores[score][place], second.scores[score][places[name]], first.counts[place])
        for place, name in enumerate(first.names)
        if name in places
    ]
    changes = [
        (b - a, name, a, b, count) for name, a, b, count in pairs if a is not None and b is not None
    ]
    if not changes:
        words = paragraph("The runs have no class in common that occurs.", kind="note")
        return Section(title="Classes", blocks=[words])
    widest = max(abs(change) for change, *_ in changes) or 1.0
    rows = []
    for change, name, a, b, count in sorted(changes, key=lambda entry: -entry[0]):
        end = 0.5 + 0.5 * change / widest
        span = (min(0.5, end), max(0.5, end), _COLOURS[change > 0])
        rows.append(
            Bar(
                name=name,
                spans=[span],
                value=f"{in_points(change)}",
                count=f"{in_percent(a)} → {in_percent(b)}",
                remark=f"{in_short(count)} {first.unit}",
            )
        )
    words = paragraph(
        f"{score} in percent: how much higher it is in the second run (orange) or in the first "
        f"(blue); the widest bar is {100 * widest:.1f}.",
        kind="muted",
    )
    return Section(title="Classes", blocks=[words, bars(rows)])


def _precision_sections(
    names: tuple[str, str], last: tuple[EvaluationRecord, EvaluationRecord]
) -> list[Section]:
    if not all(record.curves for record in last):
        return []
    charts = []
    for found, curves in last[0].curves.items():
        if found not in last[1].curves:
            continue
        for at in curves.means:
            lines = []
            for record, name, colour in zip(last, names, _COLOURS, strict=True):
                mean = record.curves[found].means[at]
                recall = np.linspace(0, 1, len(mean))
                lines.append(Line(name=name, x=recall, y=mean, colour=colour))
            charts.append(recall_chart(f"{found.capitalize()}, {at}", lines))
    return [Section(title="Precision and recall, mean over classes", blocks=[row(*charts)])]


def _difference(first: float | None, second: float | None) -> str:
    if first is None or second is None or min(first, second) < 0:
        return in_points(None)
    return in_points(second - first)


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """`{"optimizer.lr": 0.001, ...}` of nested dicts."""
    if not isinstance(value, dict):
        return {path: value}
    return {
        name: item
        for key, inner in value.items()
        for name, item in _flatten(inner, f"{path}.{key}".strip(".")).items()
    }
