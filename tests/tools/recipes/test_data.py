"""Data configs: one base, the task by class, an own kind as flags of the command line."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import pytest

from swin_dense.tools.cli import main
from swin_dense.tools.recipes.data import DataConfig, DetectionData, SegmentationData
from swin_dense.tools.recipes.table import RECIPES, find_recipe


@pytest.mark.parametrize(
    ("kind", "task"), [(DetectionData, "detection"), (SegmentationData, "segmentation")]
)
def test_every_kind_has_the_common_fields_with_defaults(kind: type[DataConfig], task: str) -> None:
    assert kind.task == task
    common = {field.name for field in fields(DataConfig)}
    assert common == {"root", "train_split", "val_split", "scale"}
    assert common < asdict(kind()).keys()  # type: ignore[call-arg]
    assert "task" not in asdict(kind())  # type: ignore[call-arg]


def test_splits_are_those_of_the_layouts() -> None:
    assert (DetectionData().train_split, DetectionData().val_split) == ("train2017", "val2017")
    assert (SegmentationData().train_split, SegmentationData().val_split) == (
        *("training", "validation"),
    )


@dataclass(frozen=True, kw_only=True)
class _PoseData(DataConfig):
    """Data of a kind that no other file knows."""

    task: ClassVar[str] = "pose"

    root: Path = Path("pose")
    train_split: str = "a"
    val_split: str = "b"
    scale: tuple[int, int] = (8, 8)
    num_joints: int = 17
    """Joints of a person."""


def test_a_kind_from_outside_has_its_fields_as_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(find_recipe("upernet_demo"), name="pose_demo", data=_PoseData())
    assert recipe.task == "pose"
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    with pytest.raises(SystemExit):
        main(["train", "pose_demo", "--help"])
    printed = capsys.readouterr().out
    assert "--data.num-joints" in printed
    assert "Joints of a person" in printed
    assert "--data.crop" not in printed
