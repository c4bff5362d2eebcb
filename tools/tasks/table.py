"""The one table of tasks; code outside adds to it: `TASKS["pose"] = PoseTask()`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from swin_dense.ranges import check_ranges
from swin_dense.tools.tasks.detection import DetectionTask
from swin_dense.tools.tasks.segmentation import SegmentationTask
from swin_dense.tools.tasks.task import Inference, Task

TASKS: dict[str, Task] = {"detection": DetectionTask(), "segmentation": SegmentationTask()}


def find_task(name: str) -> Task:
    """The task of that name, which a model's or a recipe's `task` gives.

    Raises:
        ValueError: there is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of {', '.join(TASKS)}")
    return TASKS[name]


def find_task_of_recipe(recipe: Mapping[str, Any]) -> Task:
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

    def count_differences(task: Task) -> int:
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
    kinds = list(dict.fromkeys(getattr(task, kind) for task in TASKS.values()))
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
    for name, task in TASKS.items():
        flags = getattr(task, kind)
        found[name] = flags(**{field.name: getattr(options, field.name) for field in fields(flags)})
    return found


def choose_flags(flags: Mapping[str, Inference], task: Task) -> Any:
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
