"""State that a checkpoint puts back: the loss scaler, and random numbers for another number of
processes."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_runs import detection_recipe, segmentation_recipe, small_options

from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.runs.checkpoints import STATE_FILE, load_state
from swin_dense.tools.runs.log import RunLog
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run_state import RunState, compare_data, state_to_resume
from swin_dense.tools.training.setup import create_accelerator, distribute


class _Data(list[int]):
    """As a data set: so many images, and names."""

    def __init__(self, num_images: int = 3, class_names: tuple[str, ...] = ("cat", "dog")) -> None:
        super().__init__(range(num_images))
        self.class_names = class_names


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return small_options(detection_recipe(tmp_path, steps=1), tmp_path / "run", resume=True)


@pytest.fixture
def saved(options: Options) -> dict[str, Any]:
    """State of a run whose loss scaler has moved; nothing else has."""
    run_state, accelerator = _run_state(options)
    accelerator.scaler.update(16.0)
    run_state.save(1, options)
    return load_state(options.run / "last")


def _run_state(options: Options) -> tuple[RunState, Any]:
    accelerator: Any = create_accelerator(options)
    torch.manual_seed(0)
    trained = distribute(create_model(options.recipe.model), options, accelerator)
    stand_in = SimpleNamespace(
        scaler=torch.amp.GradScaler("cpu", init_scale=4.0),
        num_processes=1,
        process_index=0,
        is_main_process=True,
        wait_for_everyone=lambda: None,
    )
    stand_in.scaler.scale(torch.zeros(()))  # makes its state
    return RunState(trained, stand_in, _Data()), stand_in  # type: ignore[arg-type]


def test_a_state_without_one_of_its_parts_is_refused(
    options: Options, saved: dict[str, Any]
) -> None:
    del saved["data"]
    torch.save(saved, options.run / "last" / STATE_FILE)
    with pytest.raises(ValueError, match="got no data; was it written by another version"):
        state_to_resume(options)


def test_the_loss_scaler_continues(options: Options, saved: dict[str, Any]) -> None:
    run_state, accelerator = _run_state(options)
    assert accelerator.scaler.get_scale() == 4.0
    run_state.restore(saved, options, RunLog(None, is_main=False))
    assert accelerator.scaler.get_scale() == 16.0


def test_another_number_of_processes_draws_from_seed_step_and_process(
    options: Options, saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    draws = []
    for process, step in ((0, 1), (1, 1), (1, 1), (1, 2)):
        run_state, accelerator = _run_state(options)
        accelerator.num_processes, accelerator.process_index = 2, process
        run_state.restore(saved | {"step": step}, options, RunLog(None))
        draws.append(torch.rand(4).tolist())
    assert draws[1] == draws[2]
    assert draws[0] != draws[1] != draws[3]
    assert "continued by 2 processes instead of 1" in capsys.readouterr().err


def test_data_that_is_not_as_before_is_said_and_other_classes_are_refused(
    saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    compare_data(saved, _Data(), RunLog(None))
    assert not capsys.readouterr().err
    compare_data(saved, _Data(4), RunLog(None))
    assert "continued with 4 images instead of 3" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the classes of before, cat, dog, got dog, cat"):
        compare_data(saved, _Data(class_names=("dog", "cat")), RunLog(None))


def test_a_run_of_version_0_1_continues_under_todays_names_of_fields(tmp_path: Path) -> None:
    options = small_options(segmentation_recipe(tmp_path, steps=1), tmp_path / "run", resume=True)
    run_state, _ = _run_state(options)
    run_state.save(1, options)
    state = load_state(options.run / "last")
    recipe = json.loads(state["recipe"])
    data = recipe["data"]
    data["zero_is_ignored"] = data.pop("reduce_zero_label")
    data["max_class_share"] = data.pop("cat_max_ratio")
    torch.save(state | {"recipe": json.dumps(recipe)}, options.run / "last" / STATE_FILE)
    assert state_to_resume(options)["step"] == 1
    data["max_class_share"] = 0.1
    torch.save(state | {"recipe": json.dumps(recipe)}, options.run / "last" / STATE_FILE)
    with pytest.raises(ValueError, match=r"another data\.cat_max_ratio: 0\.9 instead of 0\.1"):
        state_to_resume(options)


def test_fields_that_came_later_have_what_was_done_before(tmp_path: Path) -> None:
    recipe = find_recipe("mask2former_demo")
    recipe = replace(recipe, model=replace(recipe.model, panoptic_merging="pixels"))
    options = small_options(recipe, tmp_path / "run", resume=True)
    run_state, _ = _run_state(options)
    run_state.save(1, options)
    state = load_state(options.run / "last")
    stored = json.loads(state["recipe"])
    del stored["model"]["panoptic_merging"], stored["model"]["backbone"]["shift_narrow_maps"]
    del stored["optimizer"]["backbone_lr"]
    torch.save(state | {"recipe": json.dumps(stored)}, options.run / "last" / STATE_FILE)
    assert state_to_resume(options)["step"] == 1
    other = replace(options, recipe=find_recipe("mask2former_demo"))
    with pytest.raises(ValueError, match=r"another model\.panoptic_merging: masks instead of pi"):
        state_to_resume(other)
