"""The one table of tasks; code outside adds to it: `TASKS["pose"] = PoseTask()`.

A task needs torch, its flags do not: ours are imported when they are first asked for.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from swin_dense.ranges import check_ranges
from swin_dense.tools.task_flags import (
    ClassificationEvaluation,
    ClassificationPrediction,
    DetectionEvaluation,
    DetectionPrediction,
    Inference,
    PanopticEvaluation,
    PanopticInference,
    SegmentationEvaluation,
    SegmentationInference,
)

if TYPE_CHECKING:
    from swin_dense.tools.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task that is not imported yet; its flags, as the task itself names them.

    Attributes:
        module: that holds the task.
        name: of its class.
        evaluation_flags: of `evaluate`.
        prediction_flags: of `predict`.
    """

    module: str
    name: str
    evaluation_flags: type[Inference]
    prediction_flags: type[Inference]


class TaskTable(MutableMapping[str, "Task"]):
    """Tasks by name; those that are given as entries are imported when they are asked for."""

    def __init__(self, **entries: TaskEntry) -> None:
        self._tasks: dict[str, Task | TaskEntry] = dict(entries)

    def __getitem__(self, name: str) -> "Task":
        task = self._tasks[name]
        if isinstance(task, TaskEntry):
            task = getattr(importlib.import_module(task.module), task.name)()
            self._tasks[name] = task
        return task

    def __setitem__(self, name: str, task: "Task") -> None:
        self._tasks[name] = task

    def __delitem__(self, name: str) -> None:
        del self._tasks[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def flags(self, kind: str) -> dict[str, type[Inference]]:
        """Flags of each task by its name; no task is imported for them.

        Args:
            kind: "evaluation_flags" or "prediction_flags".
        """
        return {name: getattr(task, kind) for name, task in self._tasks.items()}


TASKS = TaskTable(
    detection=TaskEntry(
        module="swin_dense.tools.tasks.detection",
        name="DetectionTask",
        evaluation_flags=DetectionEvaluation,
        prediction_flags=DetectionPrediction,
    ),
    segmentation=TaskEntry(
        module="swin_dense.tools.tasks.segmentation",
        name="SegmentationTask",
        evaluation_flags=SegmentationEvaluation,
        prediction_flags=SegmentationInference,
    ),
    panoptic=TaskEntry(
        module="swin_dense.tools.tasks.panoptic.panoptic_task",
        name="PanopticTask",
        evaluation_flags=PanopticEvaluation,
        prediction_flags=PanopticInference,
    ),
    classification=TaskEntry(
        module="swin_dense.tools.tasks.classification.classification_task",
        name="ClassificationTask",
        evaluation_flags=ClassificationEvaluation,
        prediction_flags=ClassificationPrediction,
    ),
)


def find_task(name: str) -> "Task":
    """The task of that name, which a model's or a recipe's `task` gives.

    Raises:
        ValueError: there is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of {', '.join(TASKS)}")
    return TASKS[name]


def find_task_of_recipe(recipe: Mapping[str, Any]) -> "Task":
    """The task of a stored recipe.

    Version 0.1 did not store its name; there it is the one whose data config has the fields that
    the stored `data` has.

    Args:
        recipe: as plain values, with `data`.

    Raises:
        ValueError: the task that it names is not known.
    """
    if "task" in recipe:
        return find_task(recipe["task"])
    stored = set(recipe["data"])

    def count_differences(task: "Task") -> int:
        return len(stored ^ {field.name for field in fields(task.data_type)})

    return min(TASKS.values(), key=count_differences)


def join_flags(common: type, kind: str) -> type:
    """A command's options with the flags of every task.

    Args:
        common: the options that all tasks share, a frozen dataclass.
        kind: "evaluation_flags" or "prediction_flags".

    Raises:
        ValueError: two tasks give a flag of one name other defaults.
    """
    kinds = list(dict.fromkeys(TASKS.flags(kind).values()))
    defaults: dict[str, Any] = {}
    for flags in kinds:
        plain = flags()
        for field in fields(flags):
            default = getattr(plain, field.name)
            if defaults.setdefault(field.name, default) != default:
                raise ValueError(
                    f"a flag must have one default in all tasks, got {defaults[field.name]} and "
                    f"{default} for {field.name} in {flags.__name__}"
                )
    # One that others inherit from, such as `Inference` itself, comes with them.
    bases = [base for base in kinds if not any(base in other.__mro__[1:] for other in kinds)]
    options = type(
        "Options", (*bases, common), {"__doc__": common.__doc__, "__post_init__": _no_check}
    )
    return dataclass(frozen=True, kw_only=True)(options)


def split_flags(options: Any, kind: str) -> dict[str, Inference]:
    """The flags of every task, by its name, out of a command's joined options.

    Raises:
        ValueError: a number is out of its range, or a task refuses a value.
    """
    check_ranges(options, as_flags=True)
    found = {}
    for name, flags in TASKS.flags(kind).items():
        found[name] = flags(**{field.name: getattr(options, field.name) for field in fields(flags)})
    return found


def choose_flags(flags: Mapping[str, Inference], task: "Task") -> Any:
    """The flags of one task out of those of all.

    Raises:
        ValueError: a flag that only other tasks know has another value than its default.
    """
    ours = {field.name for field in fields(flags[task.name])}
    for name, others in flags.items():
        plain = type(others)()
        for field in fields(others):
            default = getattr(plain, field.name)
            if field.name not in ours and getattr(others, field.name) != default:
                prefix = "no-" if default is True else ""
                flag = prefix + field.name.replace("_", "-")
                raise ValueError(f"--{flag} is for {name}, got a model for {task.name}")
    return flags[task.name]


def _no_check(options: Any) -> None:
    """The tasks' checks are of each task's flags alone, when they are split."""
    del options
