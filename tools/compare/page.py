"""The page of a comparison, and its table for a terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from swin_dense.tools.compare.plan import PAGE_FILE, Plan
from swin_dense.tools.compare.results import Results, Spread, VariantResults
from swin_dense.tools.report.charts import COLOURS, Line, line_chart
from swin_dense.tools.report.page import Section, paragraph, row, table, write_page
from swin_dense.tools.report.score_text import ABSENT, in_percent, in_points

_MEASURED = (
    "Seconds of a training step are the median over the lines of a run's log, evaluations not "
    "counted; memory is the most that a run's process held, on a GPU what torch held there. Both "
    "are measured, so that a run that was stopped and continued has others; all else on this page "
    "is the same for it."
)


def write_comparison(results: Results) -> Path:
    """Write the page of what is finished into the comparison's folder."""
    path = results.plan.out / PAGE_FILE
    title = f"{results.plan.recipe}: {_short_fields(results.plan)}"
    write_page(path, title, comparison_blocks(results))
    return path


def comparison_blocks(results: Results) -> list[str | Section]:
    """Sections: the comparison in words, scores, losses, time and memory, the single runs."""
    plan = results.plan
    shown = [found for found in results.variants if found.runs]
    blocks: list[str | Section] = [paragraph(_describe(results))]
    missing = [
        run.title
        for run in plan.runs
        if run.folder not in [result.planned.folder for result in results.runs]
    ]
    if missing:
        words = f"{len(missing)} of {len(plan.runs)} runs are not finished: {'; '.join(missing)}."
        blocks.append(paragraph(words, kind="note"))
    if not shown:
        return blocks
    return [
        *blocks,
        _score_section(results, shown),
        _loss_section(results, shown),
        _cost_section(shown),
        _run_section(results),
    ]


def as_table(results: Results) -> Table:
    """A row for each variant, to be read in a terminal."""
    names = results.headline
    made = Table(title=f"{results.plan.recipe}: {_num_seeds(results.plan)}", title_justify="left")
    made.add_column(_short_fields(results.plan))
    for column in (*names, "loss", "s a step", "MiB", "parameters"):
        made.add_column(column, justify="right", no_wrap=True)
    for found in results.variants:
        if not found.runs:
            made.add_row(found.variant.name, "not finished")
            continue
        scores = found.scores
        made.add_row(
            found.variant.name,
            *(_percent(scores[name]) for name in names),
            _number(found.loss, 3),
            _number(found.seconds_per_step, 3),
            _number(found.memory_mib, 0),
            _count(found),
        )
    return made


def _describe(results: Results) -> str:
    plan = results.plan
    between = ", " if len(plan.fields) == 1 else "; "
    names = between.join(variant.name for variant in plan.variants)
    words = (
        f"Recipe {plan.recipe}, trained with each {' and '.join(plan.fields)}: {names}; "
        f"{_num_seeds(plan)} ({', '.join(map(str, plan.seeds))}), the same for all. Everything "
        "else is equal."
    )
    if not results.runs:
        return words
    run = results.runs[0].run
    last, recipe = run.evaluations[-1], run.recipe
    return (
        f"{words} {run.num_steps} steps of {recipe.get('batch_size')} images, learning rate "
        f"{recipe.get('optimizer', {}).get('lr')}; data {recipe['data'].get('root')}, evaluated on "
        f"{len(last.image_scores)} images with {len(last.classes.names)} classes."
    )


def _short_fields(plan: Plan) -> str:
    return ", ".join(name.rpartition(".")[2] for name in plan.fields)


def _num_seeds(plan: Plan) -> str:
    return f"{len(plan.seeds)} seed{'s' * (len(plan.seeds) > 1)}"


def _colours(results: Results) -> dict[str, str]:
    """A colour for each variant, the same in every chart."""
    return {
        variant.name: COLOURS[place % len(COLOURS)]
        for place, variant in enumerate(results.plan.variants)
    }


def _score_section(results: Results, shown: Sequence[VariantResults]) -> Section:
    first, *others = shown
    columns = ["", *(found.variant.name for found in shown)]
    columns += [f"{other.variant.name} less {first.variant.name}" for other in others]
    rows = []
    for name in dict.fromkeys(name for found in shown for name in found.scores):
        rows.append(
            [
                name,
                *(_percent(found.scores.get(name)) for found in shown),
                *(_points(_differences(first, other, name)) for other in others),
            ]
        )
    charts = [
        _chart(name, results, shown, factor=100)
        for name in results.runs[0].curves
        if name != "loss"
    ]
    words = (
        "In percent, of the last evaluation: mean over the seeds ± their standard deviation. "
        "Differences are those of runs with the same seed."
    )
    return Section(
        title="Scores",
        blocks=[paragraph(words, kind="muted"), row(table(columns, rows)), row(*charts)],
    )


def _loss_section(results: Results, shown: Sequence[VariantResults]) -> Section:
    chart = _chart("loss", results, shown)
    rows = [[found.variant.name, _number(found.loss, 4)] for found in shown]
    words = "In charts the thick line is the mean over the seeds, each thin one is a run."
    if len(results.plan.seeds) == 1:
        words = "Each line is a run."
    at_end = table(["", "loss at the end"], rows)
    return Section(title="Training", blocks=[paragraph(words, kind="muted"), row(chart, at_end)])


def _cost_section(shown: Sequence[VariantResults]) -> Section:
    rows = [
        [
            found.variant.name,
            _number(found.seconds_per_step, 3),
            _number(found.memory_mib, 0),
            _count(found),
        ]
        for found in shown
    ]
    columns = ["", "seconds a step", "peak memory, MiB", "parameters"]
    return Section(
        title="Time and memory",
        blocks=[paragraph(_MEASURED, kind="muted"), table(columns, rows)],
    )


def _run_section(results: Results) -> Section:
    names = results.headline
    rows = [
        [
            result.planned.folder.name,
            result.planned.variant.name,
            str(result.planned.seed),
            *(in_percent(result.scores[name]) for name in names),
            "" if result.loss is None else f"{result.loss:.4f}",
        ]
        for result in results.runs
    ]
    words = "Each folder is that of a run, with its own report."
    columns = ["folder", "variant", "seed", *names, "loss at the end"]
    return Section(
        title="Runs",
        blocks=[paragraph(words, kind="muted"), table(columns, rows, num_texts=2)],
    )


def _chart(
    name: str, results: Results, shown: Sequence[VariantResults], *, factor: float = 1.0
) -> str:
    """A thick line for each variant, of the steps that all of its runs have, thin ones for runs."""
    colours = _colours(results)
    lines = []
    for found in shown:
        curves = [result.curves.get(name, {}) for result in found.runs]
        colour = colours[found.variant.name]
        steps = [step for step in curves[0] if all(step in other for other in curves)]
        means = [_scaled(Spread.of(other[step] for other in curves).mean, factor) for step in steps]
        lines.append(Line(name=found.variant.name, x=steps, y=means, colour=colour))
        if len(curves) > 1 and len(steps) > 1:
            lines += [
                Line(
                    name="",
                    x=list(other),
                    y=[_scaled(value, factor) for value in other.values()],
                    colour=colour,
                    kind="faint",
                )
                for other in curves
            ]
    title = "Loss" if name == "loss" else f"{name}, %"
    return line_chart(title, lines, x_name="step", y_range=(0, None))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _differences(first: VariantResults, other: VariantResults, name: str) -> Spread:
    """Of a score, in runs with the same seed."""
    by_seed = {run.planned.seed: run.scores.get(name) for run in first.runs}
    return Spread.of_differences(
        (by_seed[run.planned.seed], run.scores.get(name))
        for run in other.runs
        if run.planned.seed in by_seed
    )


def _percent(spread: Spread | None) -> str:
    if spread is None or spread.mean is None:
        return ABSENT
    return f"{in_percent(spread.mean)}{_plus_minus(spread, 1, factor=100)}"


def _points(spread: Spread) -> str:
    return f"{in_points(spread.mean)}{_plus_minus(spread, 1, factor=100)}"


def _number(spread: Spread, digits: int) -> str:
    if spread.mean is None:
        return ABSENT
    return f"{spread.mean:,.{digits}f}{_plus_minus(spread, digits)}"


def _plus_minus(spread: Spread, digits: int, *, factor: float = 1.0) -> str:
    return "" if spread.deviation is None else f" ± {factor * spread.deviation:,.{digits}f}"


def _count(found: VariantResults) -> str:
    return ABSENT if found.num_parameters is None else f"{found.num_parameters:,}"
