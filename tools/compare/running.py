"""The trainings of a comparison, one after the other; those that are done are not repeated."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from swin_dense.tools.compare.plan import Plan
from swin_dense.tools.printable import write_line
from swin_dense.tools.runs.checkpoints import find_checkpoint
from swin_dense.tools.runs.log import read_log
from swin_dense.tools.tasks.evaluation import choose_device
from swin_dense.tools.training.options import Options, with_model_of_init
from swin_dense.tools.training.setup import check_model_memory


def check_models(plan: Plan) -> None:
    """See that the model of each variant can be built and fits, before any is trained.

    Raises:
        ValueError: one cannot.
    """
    for variant in plan.variants:
        options = with_model_of_init(variant.options)
        try:
            check_model_memory(options.recipe.model, choose_device(options.device))
        except ValueError as error:
            raise ValueError(f"{variant.name}: {error}") from error


def run_all(
    plan: Plan, *, train: Callable[[Options], object], renew: Callable[[], object]
) -> list[str]:
    """Train what is not trained yet; a run that was cut off is continued.

    A run that fails does not stop the others.

    Args:
        plan: every run.
        train: trains one, and returns when it is done or stopped.
        renew: called after each run, for a page of what there is.

    Returns:
        A sentence for each run that failed.

    Raises:
        KeyboardInterrupt: a training was stopped.
    """
    failures = []
    for number, run in enumerate(plan.runs, start=1):
        title = f"run {number} of {len(plan.runs)}: {run.title}, in {run.folder}"
        if is_finished(run.folder):
            write_line(f"{title} is done already")
            continue
        write_line(title)
        resume = find_checkpoint(run.folder) is not None
        try:
            train(replace(run.options, resume=resume))
        except (ValueError, OSError) as error:
            failures.append(f"{run.title}: {error}")
            write_line(f"run {number} of {len(plan.runs)} failed: {error}")
            continue
        if not is_finished(run.folder):
            raise KeyboardInterrupt
        renew()
    return failures


def is_finished(run: Path) -> bool:
    """Tell by the log of a run: its last step, of which nothing is left, is evaluated."""
    lines = read_log(run)
    steps = [line for line in lines if "loss" in line]
    if not steps or steps[-1].get("seconds_left") != 0:
        return False
    return any("metrics" in line and line["step"] == steps[-1]["step"] for line in lines)
