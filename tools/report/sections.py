"""The sections of a run's report: training, scores, classes, precision and recall, confusions."""

import re
from collections.abc import Sequence
from itertools import chain

import numpy as np

from swin_dense.tools.report.charts import COLOURS, Line, line_chart
from swin_dense.tools.report.confusion_chart import confusion_blocks
from swin_dense.tools.report.page import Bar, Section, bars, heading, paragraph, row, table
from swin_dense.tools.report.score_text import in_percent, in_points, in_short
from swin_dense.tools.report.style import INK
from swin_dense.tools.runs.evaluations import EvaluationRecord
from swin_dense.tools.runs.folder import RunFolder
from swin_dense.tools.runs.log import FIGURES
from swin_dense.tools.tasks.scores import (
    ClassScores,
    PrecisionCurves,
    ScoreTable,
    ThresholdScores,
)

MEMORY_IS_SAME = 0.05  # share of the most; less is not worth a chart
_MOST_CURVES = 8  # with a name and a colour in one chart
_MOST_NAMED = 12  # points with a name in one chart
_LAYER = re.compile(r"_\d+$")  # at the end of a loss's name
_NAME_ROOM = (0.2, 0.055)  # of the axes; so much a name takes


def training_section(run: RunFolder) -> Section:
    """Losses, learning rate, speed and memory over the steps."""
    if not run.log:
        nothing = paragraph("Nothing is logged yet.", kind="note")
        return Section(title="Training", blocks=[nothing])
    lr = line_chart("Learning rate", [over_steps(run, "rate")], x_name="step", y_range=(0, None))
    speed = line_chart(
        "Images a second", [over_steps(run, "images_per_second")], x_name="step", y_range=(0, None)
    )
    memory = line_chart(
        "Peak memory, GiB",
        [over_steps(run, "memory_mib", factor=1 / 1024)],
        x_name="step",
        y_range=(0, None),
        same=MEMORY_IS_SAME,
    )
    charts = row(*_loss_charts(run), lr, speed, memory)
    return Section(title="Training", blocks=[charts])


def score_section(run: RunFolder) -> Section:
    """The scores of the last evaluation, and how they came, beside the published ones."""
    last = run.evaluations[-1]
    published = run.published
    scores = run.task.score_table(last.metrics)
    words = scores.words
    if not published:
        words += " This recipe has no published scores."
    tables = [_score_table(scores)]
    if published:
        tables.append(_published_table(run, scores))
    steps = [evaluation.step for evaluation in run.evaluations]
    lines = []
    for name, colour in zip(last.headline, COLOURS, strict=False):
        values = [_percent(evaluation.headline.get(name)) for evaluation in run.evaluations]
        shown = run.task.score_name(name)
        lines.append(Line(name=shown, x=steps, y=values, colour=colour))
        if shown in published:
            value = 100 * published[shown]
            lines.append(
                Line(
                    name=f"{shown}, published",
                    x=[0, steps[-1]],
                    y=[value, value],
                    colour=colour,
                    kind="dashed",
                )
            )
    chart = line_chart("Scores over the training", lines, x_name="step", y_range=(0, None))
    blocks = [paragraph(words, kind="muted"), row("".join(tables), chart)]
    return Section(title="Scores", blocks=blocks)


def class_section(record: EvaluationRecord) -> Section:
    """A row of bars for each class, the best first, in the class's colour."""
    classes = record.classes
    names = list(classes.scores)
    order = sorted(
        range(len(classes.names)), key=lambda place: (-_first_score(classes, place), place)
    )
    rows = []
    for place in order:
        values = [classes.scores[name][place] for name in names]
        colour = classes.colour_of(place)
        rows.append(
            Bar(
                name=classes.names[place],
                spans=[None if value is None else (0.0, value, colour) for value in values],
                value=" / ".join(in_percent(value) for value in values),
                count=in_short(classes.counts[place]),
            )
        )
    bar_names = " above ".join(names) + (" (paler)" if len(names) > 1 else "")
    words = (
        f"{bar_names}, in percent, and how many {classes.unit} there are to find. A class has the "
        "same colour in charts and pictures."
    )
    return Section(title="Classes", blocks=[paragraph(words, kind="muted"), bars(rows)])


def precision_section(record: EvaluationRecord) -> Section:
    """Curves where predictions have scores; else a point for each class."""
    title = "Precision and recall"
    if not record.curves:
        return Section(title=title, blocks=_precision_points(record))
    charts = []
    for found, curves in record.curves.items():
        recall = np.linspace(0, 1, curves.by_class.shape[-1])
        means = [Line(name=at, x=recall, y=mean) for at, mean in curves.means.items()]
        charts += [
            recall_chart(f"{found.capitalize()}, mean over classes", means),
            _class_curves(found, curves, record.classes, recall),
        ]
    if record.thresholds is not None:
        charts.append(_threshold_chart(record.thresholds))
    return Section(title=title, blocks=[row(*charts)])


def confusion_section(record: EvaluationRecord) -> Section:
    """The matrix; before it, where predictions have scores, what a threshold would change."""
    blocks = confusion_blocks(record.confusion)
    if record.thresholds is not None:
        blocks = [paragraph(_describe_thresholds(record.thresholds)), *blocks]
    return Section(title="Confusion matrix", blocks=blocks)


def recall_chart(
    title: str, lines: Sequence[Line], *, texts: Sequence[tuple[float, float, str]] = ()
) -> str:
    """Precision over recall, both from 0 to 1."""
    return line_chart(
        title,
        lines,
        x_name="recall",
        y_name="precision",
        x_range=(0, 1),
        y_range=(0, 1.02),
        texts=texts,
    )


def over_steps(
    run: RunFolder, *keys: str, name: str = "", colour: str | None = None, factor: float = 1.0
) -> Line:
    """A figure of the log over the steps, or the sum of some."""
    found = [[line[key] for key in keys if line.get(key) is not None] for line in run.log]
    return Line(
        name=name,
        x=[line["step"] for line in run.log],
        y=[factor * sum(values) if values else None for values in found],
        colour=colour,
    )


def _loss_charts(run: RunFolder) -> list[str]:
    """The total with the losses of no stage, and a chart for the losses of each stage.

    A loss of a stage is logged as `s0.loss_cls`: a cascade's. Those of a decoder's layers, as
    `loss_cls_0` beside the last one's `loss_cls`, are drawn as their sum.
    """
    names = [name for name in dict.fromkeys(chain(*run.log)) if name not in FIGURES]
    layers = dict[str, list[str]]()
    for name in names:
        last = _LAYER.sub("", name)
        layers.setdefault(last if last in names else name, []).append(name)
    kinds = [name for name in names if name in layers]
    charts = []
    for stage in dict.fromkeys(["", *(name.rpartition(".")[0] for name in names)]):
        lines = [
            over_steps(run, *layers[name], name=name.rpartition(".")[2].removeprefix("loss_"))
            for name in kinds
            if name.rpartition(".")[0] == stage
        ]
        if not stage:
            lines = [over_steps(run, "loss", name="total", colour=INK), *lines]
        title = f"Losses of stage {stage.removeprefix('s')}" if stage else "Losses"
        charts.append(line_chart(title, lines, x_name="step", y_range=(0, None)))
    return charts


def _score_table(scores: ScoreTable) -> str:
    rows = [[name, *map(in_percent, values)] for name, values in scores.rows.items()]
    return table(["", *scores.columns], rows)


def _published_table(run: RunFolder, scores: ScoreTable) -> str:
    found = scores.by_name
    rows = []
    for name, score in run.published.items():
        value = found.get(name)
        difference = None if value is None else value - score
        rows.append([name, in_percent(value), f"{100 * score:g}", in_points(difference)])
    source = paragraph(f"Published: {run.recipe.get('source')}.", kind="muted")
    return heading("Beside the published", level=3) + table(
        ["", "here", "published", "difference"], rows
    ) + source  # fmt: skip


def _class_curves(
    found: str, curves: PrecisionCurves, classes: ClassScores, recall: np.ndarray
) -> str:
    """All classes at IoU 0.5; of many the best and the worst have names."""
    means = np.nanmean(np.where(np.isnan(curves.by_class), -1.0, curves.by_class), axis=1)
    present = [int(place) for place in np.argsort(-means, kind="stable") if means[place] >= 0]
    half = _MOST_CURVES // 2
    named = present if len(present) <= _MOST_CURVES else [*present[:half], *present[-half:]]
    lines = [
        Line(name="", x=recall, y=curves.by_class[place], kind="faint")
        for place in present
        if place not in named
    ]
    if len(named) == len(present):
        named = sorted(named)
    lines += [
        Line(
            name=classes.names[place],
            x=recall,
            y=curves.by_class[place],
            colour=classes.colour_of(place),
        )
        for place in named
    ]
    which = "" if len(named) == len(present) else f"; the {half} best and the {half} worst named"
    return recall_chart(f"{found.capitalize()} at IoU 0.50, by class{which}", lines)


def _precision_points(record: EvaluationRecord) -> list[str]:
    """Predictions without scores: each class has one precision and one recall."""
    counts = record.confusion.counts.astype(np.float64)
    num_classes = len(counts) - record.confusion.has_background
    truth, found, right = (
        values[:num_classes] for values in (counts.sum(1), counts.sum(0), counts.diagonal())
    )
    places = [int(place) for place in np.flatnonzero((truth > 0) & (found > 0))]
    by_iou = sorted(places, key=lambda i: right[i] / (truth[i] + found[i] - right[i]))
    lines = []
    for iou in (0.25, 0.5, 0.75):
        recall = np.linspace(iou, 1, 60)
        lines.append(Line(name="", x=recall, y=1 / (1 / iou + 1 - 1 / recall), kind="faint"))
    lines += [
        Line(
            name="",
            x=[float(right[i] / truth[i])],
            y=[float(right[i] / found[i])],
            colour=record.classes.colour_of(i),
            kind="dots",
        )
        for i in places
    ]
    points = [(float(right[i] / truth[i]), float(right[i] / found[i])) for i in by_iou]
    texts = [
        (*points[k], record.confusion.names[by_iou[k]]) for k in _far_apart(points)[:_MOST_NAMED]
    ]
    chart = recall_chart("A point for each class", lines, texts=texts)
    words = paragraph(
        "These predictions have no scores to put a threshold on, so each class is one point: the "
        f"share of its {record.confusion.unit} that were found, and the share of the "
        f"{record.confusion.unit} predicted as it that are right. The grey lines are those of IoU "
        "0.25, 0.50 and 0.75."
        + (" Low ones have names, where there is room." if len(texts) < len(points) else ""),
        kind="muted",
    )
    return [row(chart, words)]


def _describe_thresholds(scores: ThresholdScores) -> str:
    """The threshold that pictures are made at beside the best one for F1."""
    shown = int(np.abs(scores.thresholds - scores.shown).argmin())
    best = scores.best
    right = int(scores.num_right[shown])
    words = (
        f"From a score of {scores.shown:g} on, {right} of {scores.num_objects} objects are found, "
        f"and {int(scores.num_found[shown]) - right} detections are wrong (of no object, of "
        f"another class, or a second one of an object): {_describe_threshold(scores, shown)}."
    )
    if scores.f1[best] <= scores.f1[shown]:
        return f"{words} No other threshold gives a higher F1."
    right = int(scores.num_right[best])
    return (
        f"{words} F1 is highest from a score of {scores.thresholds[best]:.2f} on: {right} found, "
        f"{int(scores.num_found[best]) - right} wrong, {_describe_threshold(scores, best)}."
    )


def _describe_threshold(scores: ThresholdScores, place: int) -> str:
    found = int(scores.num_found[place])
    precision = in_percent(float(scores.precision[place]) if found else None)
    recall, f1 = in_percent(float(scores.recall[place])), in_percent(float(scores.f1[place]))
    return f"precision {precision}, recall {recall}, F1 {f1}"


def _threshold_chart(scores: ThresholdScores) -> str:
    return line_chart(
        "Boxes at IoU 0.50, by score threshold",
        [
            Line(name="F1", x=scores.thresholds, y=scores.f1),
            Line(name="precision", x=scores.thresholds, y=scores.precision),
            Line(name="recall", x=scores.thresholds, y=scores.recall),
            Line(
                name=f"in pictures, {scores.shown:g}",
                x=[scores.shown, scores.shown],
                y=[0, 1],
                colour=INK,
                kind="dashed",
            ),
        ],
        x_name="score threshold",
        x_range=(0, 1),
        y_range=(0, 1.02),
    )


def _far_apart(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of points whose names do not cover each other; the first ones have precedence."""
    chosen: list[int] = []
    for index, (x, y) in enumerate(points):
        others = (points[other] for other in chosen)
        if all(abs(x - a) > _NAME_ROOM[0] or abs(y - b) > _NAME_ROOM[1] for a, b in others):
            chosen.append(index)
    return chosen


def _first_score(classes: ClassScores, place: int) -> float:
    """The score by which classes are sorted; those without one come last."""
    value = next(iter(classes.scores.values()))[place]
    return -1.0 if value is None else value


def _percent(score: float | None) -> float | None:
    return None if score is None or score < 0 else 100 * score
