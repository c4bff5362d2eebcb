"""A run read from its folder: recipe, log and evaluations."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from swin_dense.checkpoints.published import find_published
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.runs.evaluations import EvaluationRecord, list_records, read_record
from swin_dense.tools.runs.log import LOG_FILE, find_damaged_lines, read_log
from swin_dense.tools.runs.names import KEPT_FILE, RECIPE_FILE, check_run
from swin_dense.tools.task_flags import ClassificationInference, Inference
from swin_dense.tools.tasks.table import find_task_of_recipe
from swin_dense.tools.tasks.task import Task

_Flags = TypeVar("_Flags", bound=Inference)


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Everything a report is made of.

    Attributes:
        path: the folder.
        recipe: as plain values.
        log: lines of log steps.
        evaluations: by rising step.
        faults: what could not be read, a sentence each.
    """

    path: Path
    recipe: dict[str, Any]
    log: list[dict[str, Any]]
    evaluations: list[EvaluationRecord]
    faults: list[str]

    @property
    def name(self) -> str:
        """Of the folder: two runs of one recipe differ in it."""
        return self.path.resolve().name

    @property
    def task(self) -> Task:
        """The task that the recipe names, or whose data it has."""
        return find_task_of_recipe(self.recipe)

    @property
    def num_steps(self) -> int | None:
        """Length of the training; None before the first log step."""
        if self.recipe.get("steps") is not None:
            return int(self.recipe["steps"])
        if not self.log:
            return None
        last = self.log[-1]
        left, each = last.get("seconds_left"), last.get("seconds_per_step")
        return last["step"] + round(left / each) if left is not None and each else None

    @property
    def published(self) -> dict[str, float]:
        """Published scores of the recipe as fractions, by their names on a page."""
        return {name: score / 100 for name, score in self.recipe.get("published", ())}


def read_run(path: Path) -> RunFolder:
    """Read the folder of a run, also of one that goes on.

    A damaged line of the log, or a damaged record of an evaluation, is left out, and `faults` has
    a sentence about it.

    Raises:
        ValueError: it is not the folder of a run, or its recipe cannot be read.
    """
    check_run(path)
    recipe_file = path / RECIPE_FILE
    try:
        recipe = json.loads(recipe_file.read_text())
        if not isinstance(recipe["name"], str) or not isinstance(recipe["data"], dict):
            raise TypeError("name or data is of another kind")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{recipe_file} cannot be read as a recipe: {type(error).__name__} {error}"
        ) from error
    faults = []
    damaged = find_damaged_lines(path)
    if damaged:
        numbers = ", ".join(str(number) for number in damaged[:10])
        faults.append(
            f"{LOG_FILE} has {len(damaged)} damaged "
            f"{'line' if len(damaged) == 1 else 'lines'}, left out here: {numbers}"
        )
    evaluations = []
    for record in list_records(path):
        try:
            evaluations.append(read_record(record))
        except ValueError as error:
            faults.append(str(error))
    return RunFolder(
        path=path,
        recipe=recipe,
        log=[line for line in read_log(path) if "loss" in line],
        evaluations=evaluations,
        faults=faults,
    )


def find_kept_images(weights: Path, data: Path) -> Path | None:
    """The list of images that a run kept from its training for evaluation.

    Args:
        weights: one of the run's checkpoints, or a file of it.
        data: folder to evaluate on.

    Returns:
        The list; None where the file belongs to no run, or the run kept none or had other data.
    """
    root = _data_of_run(weights).get("root")
    kept = _run_of(weights) / KEPT_FILE
    if not isinstance(root, str) or Path(root).resolve() != data.resolve():
        return None
    return kept if kept.is_file() else None


def with_known_scale(flags: _Flags, weights: Path) -> _Flags:
    """The flags of a task, where they have no resize with the one of the recipe of the weights.

    Args:
        flags: of evaluation or prediction; tiles without a resize keep the image's resolution, and
            classifiers know theirs.
        weights: one of a run's checkpoints, a file of it, or a published file or its name.
    """
    is_settled = flags.scale is not None or getattr(flags, "tiles", None) is not None
    if is_settled or isinstance(flags, ClassificationInference):
        return flags
    return replace(flags, scale=_find_scale(weights))


def _find_scale(weights: Path) -> tuple[int, int] | None:
    """That of the run's recipe, or of ours for the published file; None where there is neither."""
    match _data_of_run(weights).get("scale"):
        case [int(long), int(short)]:
            return long, short
    known = find_published(weights.name) or find_published(str(weights))
    recipe = None if known is None or known.recipe is None else RECIPES.get(known.recipe)
    return None if recipe is None else recipe.data.scale


def _run_of(weights: Path) -> Path:
    """The folder that is a run's, if weights are its checkpoint or a file of it."""
    checkpoint = weights if weights.is_dir() else weights.parent
    return checkpoint.absolute().parent


def _data_of_run(weights: Path) -> dict[str, Any]:
    """The data config of the run that weights belong to; empty where they belong to none."""
    try:
        recipe = json.loads((_run_of(weights) / RECIPE_FILE).read_text(encoding="utf-8"))
        return dict(recipe["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def describe_run(run: RunFolder) -> str:
    """Recipe and data in a line."""
    recipe, data = run.recipe, run.recipe["data"]
    used = recipe.get("splits", {})
    trained_on = used.get("training") or data.get("train_split")
    evaluated_on = used.get("evaluation") or data.get("val_split")
    parts = [
        f"Recipe {recipe['name']}, {recipe.get('batch_size')} images a step, learning rate "
        f"{recipe.get('optimizer', {}).get('lr')}, seed {recipe.get('seed')}; trained on "
        f"{trained_on} and evaluated on {evaluated_on} of {data.get('root')}"
    ]
    if run.evaluations:
        last = run.evaluations[-1]
        parts.append(f"{len(last.image_scores)} images, {len(last.classes.names)} classes")
    return ": ".join(parts) + "."


def describe_progress(run: RunFolder) -> str:
    """Steps done, and the step of the scores."""
    steps = [line["step"] for line in run.log] + [record.step for record in run.evaluations]
    step = max(steps, default=0)
    text = (
        f"{step} steps done" if run.num_steps is None else f"{step} of {run.num_steps} steps done"
    )
    if run.evaluations:
        text += f"; scores are of step {run.evaluations[-1].step}"
    return f"{text}."
