"""The table of tasks: names, stored recipes, and flags that only one task knows."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from swin_dense.tools.commands.evaluate import CommonOptions
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.task_flags import (
    ClassificationEvaluation,
    DetectionEvaluation,
    Inference,
    PanopticEvaluation,
    SegmentationEvaluation,
)
from swin_dense.tools.tasks.table import (
    TASKS,
    choose_flags,
    find_task,
    find_task_of_recipe,
    join_flags,
    split_flags,
)


def _options(**flags: Any) -> Any:
    joined = join_flags(CommonOptions, "evaluation_flags")
    return joined(weights=Path("w"), data=Path("d"), **flags)


def test_an_unknown_task_lists_the_known() -> None:
    assert find_task("detection") is TASKS["detection"]
    with pytest.raises(ValueError, match="unknown task 'pose'; choose one of detection"):
        find_task("pose")


def test_names_of_tasks_and_of_their_data_agree() -> None:
    for name, task in TASKS.items():
        assert task.name == task.data_type.task == name
    assert {recipe.task for recipe in RECIPES.values()} == TASKS.keys()


@pytest.mark.parametrize("kind", ["evaluation_flags", "prediction_flags"])
def test_the_table_and_the_tasks_name_the_same_flags(kind: str) -> None:
    assert TASKS.flags(kind) == {name: getattr(task, kind) for name, task in TASKS.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_task_of_a_stored_recipe_is_found_with_and_without_its_name(name: str) -> None:
    stored = asdict(RECIPES[name])
    assert find_task_of_recipe(stored).name == RECIPES[name].task
    assert find_task_of_recipe({"data": {}, "task": "detection"}).name == "detection"


def test_flags_of_all_tasks_are_joined_and_split_again() -> None:
    flags = split_flags(_options(scale=(8, 8), mode="slide"), "evaluation_flags")
    assert flags == {
        "detection": DetectionEvaluation(scale=(8, 8)),
        "segmentation": SegmentationEvaluation(scale=(8, 8), mode="slide"),
        "panoptic": PanopticEvaluation(scale=(8, 8)),
        "classification": ClassificationEvaluation(scale=(8, 8)),
    }
    assert choose_flags(flags, TASKS["segmentation"]) == flags["segmentation"]


@pytest.mark.parametrize(
    ("flags", "name", "message"),
    [
        ({"mode": "whole"}, "detection", "--mode is for segmentation, got a model for detection"),
        ({"crop": (8, 8)}, "detection", "--crop is for segmentation"),
        ({"reduce_zero_label": False}, "detection", "--reduce-zero-label is for segmentation"),
        ({"results": Path("r.json")}, "segmentation", "--results is for detection, got a model"),
        ({"protocol": "timm"}, "detection", "--protocol is for classification, got a model for d"),
        ({"upright": False}, "panoptic", "--no-upright is for classification"),
    ],
)
def test_a_flag_of_another_task_is_refused(
    flags: dict[str, Any], name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = split_flags(_options(**flags), "evaluation_flags")
    with pytest.raises(ValueError, match=message):
        choose_flags(given, TASKS[name])


@dataclass(frozen=True, kw_only=True)
class _Flags(Inference):
    """Flags of a task of the test's making."""

    results: Path | None = None
    tilt: float = 0.5


@dataclass(frozen=True, kw_only=True)
class _OtherDefault(Inference):
    """A flag that detection has with another default."""

    results: Path | None = Path("results.json")


class _Pose:
    """As much of a task as its flags need."""

    name = "pose"
    evaluation_flags: type[Inference] = _Flags


def test_a_task_from_outside_brings_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    pose: Any = _Pose()
    monkeypatch.setitem(TASKS, "pose", pose)
    flags = split_flags(_options(tilt=0.25), "evaluation_flags")
    assert flags["pose"] == _Flags(tilt=0.25)
    assert choose_flags(flags, pose) == _Flags(tilt=0.25)
    with pytest.raises(ValueError, match="--tilt is for pose, got a model for detection"):
        choose_flags(flags, TASKS["detection"])


def test_one_flag_has_one_default_in_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    pose: Any = _Pose()
    pose.evaluation_flags = _OtherDefault
    monkeypatch.setitem(TASKS, "pose", pose)
    with pytest.raises(ValueError, match=r"one default in all tasks, got None and results\.json"):
        join_flags(CommonOptions, "evaluation_flags")
