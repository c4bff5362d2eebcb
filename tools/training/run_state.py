"""State of a run in its checkpoints: gathered from every process, and put back by `--resume`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from safetensors.torch import load_file

from swin_dense.checkpoints.loading import initialise, load_weights
from swin_dense.checkpoints.stored_configs import config_as_json
from swin_dense.heads.whole_model import Model
from swin_dense.tools.files import LOCK_FILE
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.runs.checkpoints import (
    find_checkpoint,
    load_state,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from swin_dense.tools.runs.log import RunLog
from swin_dense.tools.runs.names import EMA_FILE, WEIGHTS_FILE, suggest_runs
from swin_dense.tools.training.distributed.sharding import (
    load_optimizer_state,
    load_whole_weights,
    whole_optimizer_state,
    whole_weights,
)
from swin_dense.tools.training.loop import LossWindow
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.setup import Trained

# What a training state holds besides the step.
_PARTS = ("recipe", "data", "optimizer", "scaler", "random")

# Words about a recipe, which change nothing in it.
_WORDS = ("name", "source", "published", "note")

# Fields of a recipe's data that version 0.1 wrote under other names.
_RENAMED = {"zero_is_ignored": "reduce_zero_label", "max_class_share": "cat_max_ratio"}

# Fields that older runs do not store, with what they had.
_LATER_IN_OPTIMIZER = {"backbone_lr": 1.0}
_LATER_IN_BACKBONE = {"shift_narrow_maps": True}
_LATER_IN_MODEL = {"panoptic_merging": "pixels"}  # other kinds of models have it on both sides

# What a run leaves in its folder, besides checkpoints.
_NAMES = (
    *("recipe.json", "log.jsonl", "results.csv", "metrics.json", "report.html", "samples.html"),
    *("samples", "evaluations", "tensorboard", "last", "best"),
)


def check_new_folder(run: Path) -> None:
    """See that a new run writes over nothing but what an earlier start of a run left.

    Raises:
        ValueError: the folder has other things under the names of a run's.
    """
    others = [name for name in _NAMES if (run / name).exists()]
    if others and not (run / LOCK_FILE).exists() and find_checkpoint(run) is None:
        raise ValueError(
            f"--out must be a folder for this run alone, got {run}, where {', '.join(others)} "
            "would be overwritten"
        )


def find_resumed(run: Path) -> Path:
    """The last checkpoint of the run that `--resume` continues.

    Raises:
        ValueError: there is none; runs that are nearby are named.
    """
    last = find_checkpoint(run)
    if last is None:
        raise ValueError(
            f"--resume must find a checkpoint in {run}, got none; --out names the run"
            f"{suggest_runs(run)}"
        )
    return last


def state_to_resume(options: Options) -> dict[str, Any]:
    """The training state of the last checkpoint with `--resume`, else an empty dict.

    Raises:
        ValueError: the folder holds a run (without `--resume`), none, or one of another recipe.
    """
    last = find_checkpoint(options.run)
    if not options.resume:
        if last is not None:
            raise ValueError(
                f"--out must not hold a run already, got {options.run}; "
                "use --resume to continue it, or another folder"
            )
        return {}
    last = find_resumed(options.run)
    state = load_state(last)
    missing = [name for name in _PARTS if name not in state]
    if missing:
        raise ValueError(
            f"--resume must find {', '.join(_PARTS)} in {last}, got no {missing[0]}; "
            "was it written by another version?"
        )
    before, now = json.loads(state["recipe"]), recipe_as_json(options.recipe)
    changed = list_differences(*_without_undecided(_what_matters(before), _what_matters(now)))
    if changed:
        raise ValueError(f"--resume must have the recipe of {last}, got another {changed[0]}")
    has_ema = (last / EMA_FILE).is_file()
    if has_ema != (options.ema is not None):
        raise ValueError(
            f"--resume must be with --ema as before, got {options.ema}; "
            f"{last} holds {'an' if has_ema else 'no'} average of the weights"
        )
    return state


def load_initial(model: Model, options: Options, log: RunLog) -> None:
    """Weights of `--resume` or `--init` into a new model."""
    if options.resume:
        load_weights(model, _last(options) / WEIGHTS_FILE)
    elif options.init is not None:
        try:
            report = initialise(model, options.init, new_classes=options.new_classes)
        except ValueError as error:
            raise ValueError(str(error).replace("new_classes=True", "--new-classes")) from error
        log.note(str(report))


def compare_data(state: Mapping[str, Any], dataset: Any, log: RunLog) -> None:
    """Log where the training data is not what it was when `state` was written.

    Raises:
        ValueError: it has other classes, or numbers in its label maps are read in another way.
    """
    before, now = state["data"], _describe_data(dataset)
    _compare_reading(_what_matters(json.loads(state["recipe"]))["data"], before, now)
    if before["class_names"] != now["class_names"]:
        raise ValueError(
            f"--resume must have the classes of before, {', '.join(before['class_names'])}, got "
            f"{', '.join(now['class_names'])}"
        )
    if before["num_images"] != now["num_images"]:
        log.note(
            f"continued with {now['num_images']} images instead of {before['num_images']}: their "
            "order, and the length of an epoch, are others from here on"
        )


class RunState:
    """The parts of a training that change, besides the position in the data, which is the step.

    Args:
        trained: network, optimiser and average of the weights.
        accelerator: processes and loss scaler.
        dataset: trained on.

    Attributes:
        window: losses that no line of the log has yet.
    """

    def __init__(self, trained: Trained, accelerator: Accelerator, dataset: Any) -> None:
        self._model = trained.model
        self._optimizer = trained.raw_optimizer
        self._ema = trained.average
        self._accelerator = accelerator
        self._data = _describe_data(dataset)
        self.window = LossWindow()

    def save(self, step: int, options: Options) -> None:
        """Write the checkpoint of `step`; every process takes part."""
        randoms = gather_object([random_state()])
        optimizer = whole_optimizer_state(self._model, self._optimizer)
        weights = whole_weights(self._model)
        ema = None
        if self._ema is not None:
            with self._ema.in_place():
                ema = {name: value.clone() for name, value in whole_weights(self._model).items()}
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            state = {
                "recipe": json.dumps(recipe_as_json(options.recipe)),
                "data": self._data,
                "optimizer": optimizer,
                "scaler": scaler.state_dict() if scaler is not None else {},
                "random": randoms,
                "losses": self.window.rows,
            }
            save_checkpoint(
                options.run,
                step,
                model=self._model,
                weights=weights,
                ema=ema,
                state=state,
                keep=options.keep,
            )
        self._accelerator.wait_for_everyone()

    def restore(self, state: Mapping[str, Any], options: Options, log: RunLog) -> None:
        """Continue from what `save` wrote, or start anew where `state` is empty.

        The weights are loaded before, by `load_initial`.
        """
        process = self._accelerator.process_index
        num_processes = self._accelerator.num_processes
        if not state:
            _seed(options.recipe.seed, 0, process)
            return
        self.window.rows = state.get("losses")  # older versions did not keep them
        load_optimizer_state(self._model, self._optimizer, state["optimizer"])
        if self._ema is not None:
            with self._ema.in_place():
                load_whole_weights(self._model, load_file(_last(options) / EMA_FILE))
        if self._accelerator.scaler is not None and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])
        randoms = state["random"]
        if len(randoms) == num_processes:
            restore_random_state(randoms[process])
            return
        log.note(
            f"continued by {num_processes} processes instead of {len(randoms)}: the images and "
            "their augmentation are those of the same steps, but each process draws new random "
            "numbers (drop path, dropout, sampling), from the seed and the step"
        )
        _seed(options.recipe.seed, state["step"], process)


def recipe_as_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return json.loads(json.dumps(config_as_json(recipe), default=str))


def list_differences(before: Any, now: Any, path: str = "") -> list[str]:
    """`field: now instead of before` for every field of nested dicts that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in list_differences(before.get(key), now.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if before == now else [f"{path}: {now} instead of {before}"]


def _describe_data(dataset: Any) -> dict[str, Any]:
    """The part of the data that must not change while a run lasts."""
    return {
        "num_images": len(dataset),
        "class_names": list(dataset.class_names),
        "reduce_zero_label": getattr(dataset, "reduce_zero_label", None),
    }


def _compare_reading(
    data: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Refuse label maps whose numbers are read in another way than before.

    Args:
        data: of the stored recipe; older versions stored the reading there alone.
        before: of the stored data.
        now: the same of today's.
    """
    name = "reduce_zero_label"
    was = data.get(name) if before.get(name) is None else before[name]
    if None not in (was, now[name]) and was != now[name]:
        raise ValueError(
            f"--resume must read label maps as before, with --data.reduce-zero-label "
            f"{str(was).lower()}, got {str(now[name]).lower()} by the data; give that flag, or "
            "train anew if it was wrong"
        )


def _what_matters(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without words about it, under the names that its fields have today."""
    kept = {name: value for name, value in recipe.items() if name not in _WORDS}
    data = {_RENAMED.get(name, name): value for name, value in recipe["data"].items()}
    backbone = _LATER_IN_BACKBONE | recipe["model"]["backbone"]
    model = _LATER_IN_MODEL | recipe["model"] | {"backbone": backbone}
    optimizer = _LATER_IN_OPTIMIZER | recipe["optimizer"]
    return kept | {"data": data, "model": model, "optimizer": optimizer}


def _without_undecided(
    before: dict[str, Any], now: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recipes without the reading of label maps where the data decide it.

    `compare_data` sees to it that the decision is the same.
    """
    name = "reduce_zero_label"
    if None not in (before["data"].get(name), now["data"].get(name)):
        return before, now

    def without(recipe: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in recipe["data"].items() if key != name}
        return recipe | {"data": kept}

    return without(before), without(now)


def _last(options: Options) -> Path:
    last = find_checkpoint(options.run)
    assert last is not None
    return last


def _seed(seed: int, step: int, process: int) -> None:
    """Random numbers of a process from a step on, if they do not continue older ones."""
    set_seed(int(np.random.SeedSequence((seed, step, process)).generate_state(1)[0]))
