"""Checkpoints of a run: written whole or not at all, so that a kill at any moment loses no state.

Layout of a run's folder:

    step_00001000/model.safetensors   weights, config, class names, category ids: loads anywhere
    step_00001000/ema.safetensors     the same with averaged weights, where the run keeps some
    step_00001000/state.pt            optimiser, scaler, random numbers, step: for `--resume`
    step_00001000/score.json          what the checkpoint scored, if it was evaluated
    last -> step_00001000             what `--resume` continues from
    best -> step_00001000             the highest score so far

A checkpoint is written into a hidden folder, flushed to the disk and renamed; `last` and `best` are
links that are replaced in one operation.
"""

import json
import os
import pickle
import random
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.files import atomic_write
from swin_dense.tools.runs.names import EMA_FILE, WEIGHTS_FILE

STATE_FILE = "state.pt"
_SCORE_FILE = "score.json"
_LAST, _BEST = "last", "best"
STEP_NAME = re.compile(r"step_\d{8}")


def save_checkpoint(
    run: Path,
    step: int,
    *,
    model: nn.Module,
    state: Mapping[str, Any],
    keep: int,
    weights: Mapping[str, Tensor] | None = None,
    ema: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the checkpoint of `step`, point `last` at it and delete the oldest beyond `keep`.

    Args:
        run: the run's folder; made if absent.
        step: steps done, from 0.
        model: a whole model of `heads`.
        state: the rest that `--resume` needs: tensors, numbers, strings, lists and dicts of them.
        keep: number of checkpoints that stay, at least 1; the best one stays besides.
        weights: the model's state dict, where this process has only a part of it in `model`.
        ema: a state dict with averaged weights, if there are some.

    Returns:
        The checkpoint's folder. Where `last` already is of this step, nothing is written.

    Raises:
        ValueError: a weight is not finite, or the folder cannot be written (full, read-only). The
            previous checkpoint is untouched in either case.
    """
    folder = run / step_name(step)
    previous = find_checkpoint(run)
    if previous is not None and previous.resolve() == folder.resolve():
        return folder
    weights = model.state_dict() if weights is None else weights
    _check_finite(weights, step, previous)
    partial = run / f".{folder.name}.partial"
    text = {"step": str(step)}
    try:
        run.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(run)
        partial.mkdir()
        save_model(model, partial / WEIGHTS_FILE, state=weights, metadata=text)
        if ema is not None:
            save_model(model, partial / EMA_FILE, state=ema, metadata=text)
        with (partial / STATE_FILE).open("wb") as file:
            torch.save(dict(state) | {"step": step}, file)
        for path in (*partial.iterdir(), partial):
            _flush_to_disk(path)
        # A folder of this step that `last` does not name is what a kill left before the link moved.
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        _point_at(run, _LAST, folder)
        _prune(run, step, keep)
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason: BaseException | None = error
        if isinstance(error, RuntimeError):  # torch.save's, of an error of the system
            reason = error.__context__
            if not isinstance(reason, OSError):
                raise
        stays = f"; {previous} is untouched" if previous is not None else ""
        raise ValueError(
            f"the checkpoint of step {step} cannot be written to {run}: {reason}{stays}"
        ) from error
    return folder


def step_name(step: int) -> str:
    """Name of what belongs to a step in the folder of a run; sorted by name they rise."""
    return f"step_{step:08d}"


def find_checkpoint(run: Path) -> Path | None:
    """Folder that `last` names, or None where the run has no checkpoint.

    A run that was killed between its first checkpoint and the link has the newest folder.
    """
    last = run / _LAST
    if (last / STATE_FILE).is_file():
        return last.resolve()
    return next((path for path in reversed(list_checkpoints(run))), None)


def list_checkpoints(run: Path) -> list[Path]:
    """Folders of the run's checkpoints, oldest first."""
    if not run.is_dir():
        return []
    return sorted(path for path in run.iterdir() if STEP_NAME.fullmatch(path.name))


def mark_score(run: Path, step: int, *, name: str, value: float) -> None:
    """Note the score of the checkpoint of `step`, and point `best` at it if none scored higher.

    Args:
        run: the run's folder.
        step: of a checkpoint that exists.
        name: of the score.
        value: higher is better; nan is never the best.

    Raises:
        ValueError: the folder cannot be written.
    """
    folder = run / step_name(step)
    best = run / _BEST
    try:
        record = best / _SCORE_FILE
        highest = json.loads(record.read_text())["value"] if record.is_file() else float("-inf")
        score = {"step": step, "name": name, "value": value}
        atomic_write(folder / _SCORE_FILE, json.dumps(score) + "\n")
        if value > highest:
            _point_at(run, _BEST, folder)
    except OSError as error:
        raise ValueError(f"the score of step {step} cannot be written: {error}") from error


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` stored beside the weights.

    Raises:
        ValueError: the file is damaged or not a training state.
    """
    path = folder / STATE_FILE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["it is cut off"])[0]
        raise ValueError(f"{path} cannot be read as a training state: {reason}") from error
    if not isinstance(state, dict) or "step" not in state:
        raise ValueError(f"{path} must hold a training state, got {type(state).__name__}")
    return state


def random_state() -> dict[str, Any]:
    """State of every random source of this process, in types that load without unpickling."""
    numpy_state: Any = np.random.get_state()
    kind, keys, position, has_gauss, gauss = numpy_state
    version, internal, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, keys.tolist(), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put the random sources where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _check_finite(weights: Mapping[str, Tensor], step: int, previous: Path | None) -> None:
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            stays = f"; the last good checkpoint is {previous}" if previous is not None else ""
            raise ValueError(
                f"weights must be finite, got nan or inf in {name} at step {step}{stays}"
            )


def _remove_leftovers(run: Path) -> None:
    for path in run.glob(".step_*.partial"):
        shutil.rmtree(path)
    for name in (_LAST, _BEST):
        (run / f".{name}.partial").unlink(missing_ok=True)


def _prune(run: Path, step: int, keep: int) -> None:
    """Delete old checkpoints, and later ones, to which a killed run's link never moved."""
    best = (run / _BEST).resolve()
    found = list_checkpoints(run)
    later = [path for path in found if path.name > step_name(step)]
    for path in [*found[: len(found) - len(later)][:-keep], *later]:
        if path.resolve() != best:
            shutil.rmtree(path)


def _point_at(run: Path, name: str, folder: Path) -> None:
    link = run / f".{name}.partial"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    os.replace(link, run / name)
    _flush_to_disk(run)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
