"""The report of a run: a page that is made from the run's folder alone."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from swin_dense.tools.report.comparison import comparison_blocks
from swin_dense.tools.report.page import (
    Section,
    heading,
    paragraph,
    picture,
    pictures,
    tiles,
    write_page,
)
from swin_dense.tools.report.score_text import in_percent, in_points
from swin_dense.tools.report.sections import (
    class_section,
    confusion_section,
    precision_section,
    score_section,
    training_section,
)
from swin_dense.tools.runs.evaluations import EvaluationRecord, KeptPicture, record_evaluation
from swin_dense.tools.runs.folder import RunFolder, describe_progress, describe_run, read_run
from swin_dense.tools.runs.log import RunLog, read_log
from swin_dense.tools.runs.names import REPORT_FILE
from swin_dense.tools.runs.results_table import write_results_table
from swin_dense.tools.tasks.task import Evaluation

_COMPARISON_FILE = "comparison.html"


def write_run_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of one run, or the comparison of two.

    Beside a report in the run's folder, the log is written as `results.csv`.

    Args:
        runs: one or two folders of runs.
        out: the file; None: `report.html` in the run's folder, of two runs `comparison.html` in
            the first.

    Returns:
        The file.

    Raises:
        ValueError: a folder is not that of a run, or the two cannot be compared.
        OSError: the file cannot be written.
    """
    if not 1 <= len(runs) <= 2:
        raise ValueError(f"report takes one or two runs, got {len(runs)}")
    found = [read_run(run) for run in runs]
    if len(found) == 1:
        path = runs[0] / REPORT_FILE if out is None else out
        write_page(path, found[0].name, run_blocks(found[0]))
        if out is None:
            write_results_table(runs[0], read_log(runs[0]))
    else:
        first, second = found
        path = runs[0] / _COMPARISON_FILE if out is None else out
        write_page(path, f"{first.name} and {second.name}", comparison_blocks(first, second))
    return path


def keep_evaluation(run: Path, step: int, evaluation: Evaluation, log: RunLog) -> None:
    """Record an evaluation in the run's folder and show some predictions in TensorBoard.

    A folder that cannot be written is logged; the training is worth more than its report.
    """
    try:
        record_evaluation(run, step, evaluation)
        for place, example in enumerate(evaluation.images.first, start=1):
            log.picture(step, f"predictions/{place}", example.draw())
    except OSError as error:
        log.note(f"the evaluation of step {step} could not be recorded: {error}")


def renew_report(run: Path, log: RunLog) -> None:
    """Write the run's report as its folder is now; a failure is logged."""
    try:
        write_run_report([run])
    except OSError as error:
        log.note(f"the report could not be written: {error}")


def run_blocks(run: RunFolder) -> list[str | Section]:
    """All sections that the folder of a run has something for."""
    blocks: list[str | Section] = [
        paragraph(describe_run(run)),
        paragraph(describe_progress(run), kind="muted"),
        *(paragraph(fault, kind="note") for fault in run.faults),
        tiles([*_score_tiles(run), *_speed_tiles(run)]),
        training_section(run),
    ]
    if not run.evaluations:
        nothing = paragraph("There is no evaluation yet.", kind="note")
        return [*blocks, Section(title="Scores", blocks=[nothing])]
    last = run.evaluations[-1]
    return [
        *blocks,
        score_section(run),
        class_section(last),
        precision_section(last),
        confusion_section(last),
        *_picture_sections(last),
    ]


def _score_tiles(run: RunFolder) -> list[tuple[str, str, str]]:
    """The headline scores, with the published and the best one."""
    if not run.evaluations:
        return []
    figures = []
    last = run.evaluations[-1]
    for name, value in last.headline.items():
        remarks = []
        shown = run.task.score_name(name)
        published = run.published.get(shown)
        if published is not None and value is not None:
            remarks.append(f"published {100 * published:g} ({in_points(value - published)})")
        best = max(run.evaluations, key=partial(_headline, name=name))
        if _headline(best, name) > _headline(last, name):
            remarks.append(f"best {in_percent(best.headline[name])} at step {best.step}")
        figures.append((shown, in_percent(value), ", ".join(remarks)))
    return figures


def _headline(record: EvaluationRecord, name: str) -> float:
    """The score, for ordering; none is the lowest."""
    value = record.headline.get(name)
    return -1.0 if value is None else value


def _speed_tiles(run: RunFolder) -> list[tuple[str, str, str]]:
    """Median speed and the most memory."""
    speeds = sorted(line["images_per_second"] for line in run.log if line.get("images_per_second"))
    memory = [line["memory_mib"] for line in run.log if line.get("memory_mib")]
    figures = []
    if speeds:
        figures.append(("speed", f"{speeds[len(speeds) // 2]:.1f}", "images a second, median"))
    if memory:
        figures.append(("memory", f"{max(memory) / 1024:.1f}", "GiB at most"))
    return figures


def _picture_sections(record: EvaluationRecord) -> list[Section]:
    scored = sorted(score for score in record.image_scores if score is not None)
    if not scored:
        return []
    middle = in_percent(scored[len(scored) // 2])
    blocks = [
        paragraph(
            f"Ranked by {record.image_rule}, in percent. The median of {len(scored)} images is "
            f"{middle}. A click opens a picture and closes it.",
            kind="muted",
        ),
    ]
    for title, chosen in (("Best", record.best), ("Worst", record.worst)):
        if chosen:
            blocks += [heading(title, level=3), pictures([_figure(kept) for kept in chosen])]
    return [Section(title="Best and worst images", blocks=blocks)]


def _figure(kept: KeptPicture) -> str:
    return picture(kept.path, f"image {kept.image_id}: {in_percent(kept.score)}")
