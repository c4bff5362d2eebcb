"""Several processes on one host compute what one does: steps, norms, scores, checkpoints."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from parallel_steps import (
    accumulate_in_two_processes,
    evaluate_in_parts,
    find_a_bad_loss_in_two_processes,
    find_nothing_in_one_process,
)
from training_runs import (
    BACKBONE,
    assert_same,
    call_together,
    detection_recipe,
    finish,
    losses,
    said,
    segmentation_recipe,
    small_options,
    start_together,
    start_training,
    weights,
)

from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.detection.config import CascadeMaskRCNNConfig, MaskRCNNConfig
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.runs.checkpoints import load_state
from swin_dense.tools.training.options import Options

_STEPS = 6
_CHANGES: dict[str, Any] = {"save_every": 3, "keep": 10}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An odd number of images to evaluate on, so that the processes' parts differ."""
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, num_train=8, num_val=3, size=64, seed=0)
    return root


@pytest.fixture(scope="module")
def recipe(data: Path) -> Recipe:
    return segmentation_recipe(data, steps=_STEPS)


def _alone(options: Options) -> Path:
    finish([start_training(options)], options)
    return options.run


def _together(options: Options) -> Path:
    finish(start_together(options, num_processes=2), options)
    return options.run


@pytest.fixture(scope="module")
def alone(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _alone(small_options(recipe, tmp_path_factory.mktemp("alone") / "run", **_CHANGES))


@pytest.fixture(scope="module")
def together(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _together(small_options(recipe, tmp_path_factory.mktemp("both") / "run", **_CHANGES))


@pytest.fixture(scope="module")
def sharded(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("sharded") / "run"
    return _together(small_options(recipe, run, fsdp=True, ema=0.5, **_CHANGES))


def _assert_same_losses(run: Path, expected: Path, *, first: int = 1) -> None:
    lines = [line for line in losses(expected) if line["step"] >= first]
    found = [line for line in losses(run) if line["step"] >= first]
    assert len(lines) == _STEPS - first + 1
    for line, other in zip(lines, found, strict=True):
        assert other == pytest.approx(line, abs=1e-5)


def test_two_processes_have_the_losses_of_one_with_the_same_batch(
    alone: Path, together: Path
) -> None:
    _assert_same_losses(together, alone)


def test_batch_norm_sees_the_images_of_all_processes(alone: Path, together: Path) -> None:
    one, two = (weights(run, name="step_00000003") for run in (alone, together))
    statistics = [name for name in one if "running_" in name]
    assert len(statistics) > 10
    for name in statistics:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=1e-4)
    assert {int(v) for k, v in two.items() if k.endswith("num_batches_tracked")} == {3}


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_an_evaluation_neither_drops_nor_doubles_an_image(
    data: Path, tmp_path: Path, task: str
) -> None:
    recipes = {"segmentation": segmentation_recipe, "detection": detection_recipe}
    recipe = recipes[task](data, steps=1)
    call_together(evaluate_in_parts, recipe, tmp_path, log=tmp_path / "log.txt")
    for path in tmp_path.glob("shared*.json"):
        found, expected = (
            sorted(json.dumps(entry) for entry in json.loads(file.read_text()))
            for file in (path, path.with_name(path.name.replace("shared", "whole")))
        )
        assert len(found) > 3
        assert found == expected


@pytest.mark.parametrize("fsdp", [False, True])
def test_accumulated_parts_exchange_gradients_once_a_step(tmp_path: Path, fsdp: bool) -> None:
    call_together(accumulate_in_two_processes, fsdp, log=tmp_path / "log.txt")


def test_a_loss_that_is_not_finite_is_said_with_the_images_of_all_processes(tmp_path: Path) -> None:
    call_together(find_a_bad_loss_in_two_processes, log=tmp_path / "log.txt")


def test_a_checkpoint_of_two_processes_is_continued_by_one_and_says_so(
    alone: Path, together: Path, recipe: Recipe, tmp_path: Path
) -> None:
    options = small_options(recipe, tmp_path / "run", resume=True, **_CHANGES)
    _rewind(together, options.run)
    _alone(options)
    assert "continued by 1 processes instead of 2" in said(options)
    _assert_same_losses(options.run, alone)


def test_a_checkpoint_of_one_process_is_continued_by_two(
    alone: Path, recipe: Recipe, tmp_path: Path
) -> None:
    options = small_options(recipe, tmp_path / "run", resume=True, **_CHANGES)
    _rewind(alone, options.run)
    _together(options)
    assert "continued by 2 processes instead of 1" in said(options)
    _assert_same_losses(options.run, alone)


def test_two_processes_continue_to_the_bit(together: Path, recipe: Recipe, tmp_path: Path) -> None:
    options = small_options(recipe, tmp_path / "run", resume=True, workers=1, **_CHANGES)
    _rewind(together, options.run)
    _together(options)
    assert_same(weights(options.run), weights(together))
    assert_same(load_state(options.run / "last"), load_state(together / "last"))


def test_sharded_weights_train_as_whole_ones_and_are_saved_whole(
    alone: Path, sharded: Path
) -> None:
    _assert_same_losses(sharded, alone)
    found, expected = weights(sharded), weights(alone)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], atol=2e-4, rtol=1e-3)
    from_checkpoint(sharded / "last" / "ema.safetensors")


def test_a_sharded_run_continues_to_the_bit(sharded: Path, recipe: Recipe, tmp_path: Path) -> None:
    options = small_options(recipe, tmp_path / "run", fsdp=True, resume=True, ema=0.5, **_CHANGES)
    _rewind(sharded, options.run)
    _together(options)
    for file in ("model.safetensors", "ema.safetensors"):
        assert_same(weights(options.run, file=file), weights(sharded, file=file))


def test_a_sharded_run_is_continued_by_one_process(
    alone: Path, sharded: Path, recipe: Recipe, tmp_path: Path
) -> None:
    options = small_options(recipe, tmp_path / "run", resume=True, ema=0.5, **_CHANGES)
    _rewind(sharded, options.run)
    _alone(options)
    _assert_same_losses(options.run, alone)


@pytest.mark.parametrize("fsdp", [False, True])
@pytest.mark.parametrize("kind", [MaskRCNNConfig, CascadeMaskRCNNConfig])
def test_a_process_without_objects_keeps_step_with_the_others(
    data: Path, tmp_path: Path, kind: Any, fsdp: bool
) -> None:
    """Every loss reaches every parameter also where there is nothing to find."""
    recipe = detection_recipe(data, steps=2)
    config = recipe.model
    assert isinstance(config, MaskRCNNConfig)
    box = replace(kind(backbone=BACKBONE).box, fc_channels=8, conv_channels=8, num_samples=8)
    model = kind(
        backbone=BACKBONE, num_classes=2, fpn_channels=8, rpn=config.rpn, box=box, mask=config.mask
    )
    call_together(find_nothing_in_one_process, model, recipe, fsdp, log=tmp_path / "log.txt")


def _rewind(source: Path, run: Path) -> None:
    """A run that was cut off after the checkpoint of step 3."""
    run.mkdir()
    shutil.copytree(source / "step_00000003", run / "step_00000003")
    (run / "last").symlink_to("step_00000003")
    shutil.copy(source / "log.jsonl", run)
