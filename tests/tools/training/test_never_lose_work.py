"""Accidents of a long training: kills, signals, full disks, bad numbers. Nothing is lost."""

import errno
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import (
    assert_same,
    detection_recipe,
    finish,
    losses,
    said,
    small_options,
    start_together,
    start_training,
    wait_for,
    weights,
)

from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.runs import checkpoints
from swin_dense.tools.runs.checkpoints import find_checkpoint, load_state
from swin_dense.tools.training.run import train

_NUM_KILLS = 20 if "SWIN_DENSE_SLOW" in os.environ else 2
_STEPS = 12 * _NUM_KILLS  # long enough that the kills come before the end
# Everything that has a state: an average of the weights, random numbers, several checkpoints,
# lines of the log whose steps lie on both sides of one.
_CHANGES: dict[str, Any] = {"save_every": 4, "evaluate_every": 12, "ema": 0.9, "log_every": 5}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, num_train=6, num_val=2, size=64, seed=0)
    return detection_recipe(root, steps=_STEPS, drop_path=0.2)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nothing interrupted, with all its checkpoints."""
    run = tmp_path_factory.mktemp("whole") / "run"
    options = small_options(recipe, run, **(_CHANGES | {"keep": 100}))
    finish([start_training(options)], options)
    return run


@pytest.fixture
def half(whole: Path, tmp_path: Path) -> Path:
    """Folder of a run with a checkpoint of step 8."""
    run = tmp_path / "run"
    shutil.copytree(whole / "step_00000008", run / "step_00000008")
    (run / "last").symlink_to("step_00000008")
    shutil.copy(whole / "log.jsonl", run)
    return run


@pytest.mark.parametrize("workers", [0, 2])
def test_kills_at_random_moments_change_nothing(
    recipe: Recipe, whole: Path, tmp_path: Path, workers: int
) -> None:
    run = tmp_path / "run"
    moments = random.Random(workers)
    changes = _CHANGES | {"workers": workers}
    for _ in range(_NUM_KILLS):
        before = find_checkpoint(run)
        options = small_options(recipe, run, resume=before is not None, **changes)
        process = start_training(options)
        if moments.random() < 0.3:  # the others die while they start
            wait_for(partial(_is_further, run, before), process, options)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.join()
        found = find_checkpoint(run)
        if found is not None:
            load_state(found)
            from_checkpoint(found / "model.safetensors")
    options = small_options(recipe, run, resume=find_checkpoint(run) is not None, **changes)
    finish([start_training(options)], options)
    _assert_same_run(run, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_saves_and_ends_in_order(
    recipe: Recipe, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    options = small_options(recipe, tmp_path / "run", **(_CHANGES | {"workers": 2}))
    process = start_training(options)
    wait_for(lambda: _newest_step(options.run) >= 4, process, options)
    assert process.pid is not None
    os.killpg(process.pid, number)
    finish([process], options)
    found = find_checkpoint(options.run)
    assert found is not None
    step = load_state(found)["step"]
    assert f"stopped by {number.name} after step {step}" in said(options)
    assert 4 <= step < _STEPS
    continued = replace(options, resume=True)
    finish([start_training(continued)], continued)
    _assert_same_run(options.run, whole)


def test_a_signal_to_one_of_two_processes_stops_both_in_order(
    recipe: Recipe, tmp_path: Path
) -> None:
    whole = small_options(recipe, tmp_path / "whole", **_CHANGES)
    finish(start_together(whole, num_processes=2), whole)
    options = replace(whole, out=tmp_path / "run")
    processes = start_together(options, num_processes=2)
    wait_for(lambda: _newest_step(options.run) >= 4, processes[0], options)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGTERM)
    finish(processes, options)
    assert 4 <= _newest_step(options.run) < _STEPS
    assert "stopped by another process after step" in said(options)
    continued = replace(options, resume=True)
    finish(start_together(continued, num_processes=2), continued)
    _assert_same_run(options.run, whole.run)


def test_a_checkpoint_that_one_process_cannot_write_ends_the_others(
    recipe: Recipe, tmp_path: Path
) -> None:
    options = small_options(recipe, tmp_path / "run", **_CHANGES)
    options.run.mkdir()
    (options.run / ".step_00000000.partial").write_text("")  # a file, where a folder is to go
    processes = start_together(options, num_processes=2)
    for process in processes:
        process.join(30)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert "error: the checkpoint of step 4 cannot be written to" in said(options)
    assert codes == [2, 1]


def test_a_file_that_may_not_grow_is_said_and_the_checkpoint_before_stays(
    recipe: Recipe, whole: Path, half: Path
) -> None:
    options = small_options(recipe, half, resume=True, **_CHANGES)
    size = (half / "last" / "model.safetensors").stat().st_size
    message = r"checkpoint of step 12 cannot be written to .*run: .*step_00000008 is untouched"
    with _files_up_to(size - 1), pytest.raises(ValueError, match=message):
        train(options)
    assert not list(half.glob(".step_*"))
    _assert_continues(recipe, half, whole)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("place", ["save_model", "_flush_to_disk", "_point_at"])
def test_errors_of_the_disk_are_said_and_the_checkpoint_before_stays(
    half: Path, monkeypatch: pytest.MonkeyPatch, number: int, place: str
) -> None:
    before = find_checkpoint(half)
    assert before is not None
    monkeypatch.setattr(checkpoints, place, _fail(OSError(number, os.strerror(number))))
    model = from_checkpoint(before / "model.safetensors")
    with pytest.raises(ValueError, match=f"step 9 cannot be written.*{os.strerror(number)}"):
        checkpoints.save_checkpoint(half, 9, model=model, state={}, keep=1)
    assert find_checkpoint(half) == before
    assert load_state(before)["step"] == 8
    from_checkpoint(before / "model.safetensors")


def test_a_folder_without_room_for_a_file_is_refused_before_the_work(
    recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(ValueError, match="the output folder must be"):
            train(small_options(recipe, out))


def test_losses_that_are_not_finite_stop_the_run_and_leave_the_last_good_checkpoint(
    recipe: Recipe, tmp_path: Path
) -> None:
    wild = replace(recipe, optimizer=replace(recipe.optimizer, lr=1e9, clip_norm=None))
    options = small_options(wild, tmp_path / "run", save_every=1)
    with pytest.raises(
        ValueError, match=r"losses must be finite, got loss_rpn_cls .* at step "
    ) as e:
        train(options)
    text = str(e.value)
    step = int(text.split(" at step ")[1].split()[0])
    image_ids = json.loads(text.split("on images ")[1].split(";")[0])
    assert len(image_ids) == recipe.batch_size
    found = find_checkpoint(options.run)
    assert found is not None
    assert load_state(found)["step"] == step - 1
    model = from_checkpoint(found / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_a_folder_in_use_by_a_live_run_is_refused_until_the_run_is_dead(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    options = small_options(recipe, tmp_path / "run", **(_CHANGES | {"workers": 2}))
    process = start_training(options)
    wait_for(lambda: _newest_step(options.run) >= 4, process, options)
    with pytest.raises(ValueError, match="is in use by a live run"):
        train(replace(options, resume=True))
    process.kill()  # its workers live on for some seconds
    process.join()
    continued = replace(options, resume=True)
    finish([start_training(continued)], continued)
    _assert_same_run(options.run, whole)


def test_a_kill_between_the_first_checkpoint_and_its_link_is_continued(
    recipe: Recipe, whole: Path, half: Path
) -> None:
    (half / "last").unlink()
    with pytest.raises(ValueError, match="must not hold a run already"):
        train(small_options(recipe, half, **_CHANGES))
    _assert_continues(recipe, half, whole)


def _assert_continues(recipe: Recipe, run: Path, whole: Path) -> None:
    options = small_options(recipe, run, resume=True, **_CHANGES)
    finish([start_training(options)], options)
    _assert_same_run(run, whole)


def _assert_same_run(run: Path, whole: Path) -> None:
    """Weights, average, optimiser, random numbers, log and scores are the same to the bit."""
    assert_same(weights(run), weights(whole))
    ema = "ema.safetensors"
    assert_same(weights(run, file=ema), weights(whole, file=ema))
    assert_same(load_state(run / "last"), load_state(whole / "last"))
    assert losses(run) == losses(whole)
    assert (run / "metrics.json").read_text() == (whole / "metrics.json").read_text()
    assert (run / "best").resolve().name == (whole / "best").resolve().name


def _is_further(run: Path, before: Path | None) -> bool:
    return find_checkpoint(run) != before


def _newest_step(run: Path) -> int:
    """Of the checkpoint that `last` names; 0 where there is none."""
    found = find_checkpoint(run)
    return 0 if found is None else int(found.name.removeprefix("step_"))


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _fail(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
