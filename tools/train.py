"""`swin-dense train`: a recipe from data to a trained model."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from swin_dense.tools import engine
from swin_dense.tools.checkpoint import (
    WEIGHTS_FILE,
    find_checkpoint,
    list_checkpoints,
    load_state,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from swin_dense.tools.evaluate import evaluate_model, write_json
from swin_dense.tools.folders import hold, make_writable
from swin_dense.tools.loading import TrainingBatches, training_loader
from swin_dense.tools.optim import create_optimizer
from swin_dense.tools.recipes import RECIPES, Recipe, find_recipe
from swin_dense.tools.run_log import RunLog
from swin_dense.tools.tasks import Evaluation, Task, find_task
from swin_dense.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a recipe; every field of it is a flag."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path | None = None
    """Folder of the run; None: runs/RECIPE."""
    init: Path | None = None
    """Weights to start from: of a backbone or of a whole model."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Mixed precision; auto: bf16 on a GPU, fp32 on the CPU."""
    accumulate: int = 1
    """Parts that a process computes each step in, to save memory."""
    workers: int = 4
    """Processes that read images, for each training process; 0: none."""
    log_every: int = 50
    """Steps between two lines of the log."""
    save_every: int = 1000
    """Steps between two checkpoints; there is always one at the end."""
    keep: int = 2
    """Checkpoints that stay."""
    evaluate_every: int | None = None
    """Steps between evaluations, 0: only at the end; None: each epoch, or, where the length is given
    in steps, only at the end."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: GPUs where there are some."""

    def __post_init__(self) -> None:
        for name, least in (("accumulate", 1), ("workers", 0), ("log_every", 1), ("keep", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.out if self.out is not None else Path("runs") / self.recipe.name


def choose_default(recipe: str) -> Options:
    """Flags' defaults for a recipe's name."""
    return Options(recipe=find_recipe(recipe))


def describe_choices() -> str:
    """What to say when no recipe is named."""
    return (
        "usage: swin-dense train RECIPE [--field value ...]\n\nrecipes:\n"
        + "\n".join(f"  {name}" for name in RECIPES)
        + "\n\nswin-dense train RECIPE --help lists every field with its value in that recipe."
    )


def run(options: Options) -> None:
    """Train, and leave the last checkpoint, the log and the scores in the run's folder."""
    train(options)


def train(options: Options) -> Evaluation | None:
    """Train a recipe.

    The folder of the run then holds `last/model.safetensors`, older checkpoints, `log.jsonl`,
    `tensorboard/`, `recipe.json` and `metrics.json`.

    Returns:
        The scores after the last step; None where the run was stopped before it.

    Raises:
        ValueError: recipe, flags, data or weights are wrong or do not fit each other; the folder cannot
            be written, is in use, or holds a run (without `--resume`) or none (with it); a loss is
            not finite.
        FileNotFoundError: the data or the weights are missing.
    """
    accelerator = _accelerator(options)
    run_folder = make_writable(options.run)
    if not accelerator.is_main_process:
        return _train(options, accelerator)
    with hold(run_folder):
        return _train(options, accelerator)


def _train(options: Options, accelerator: Accelerator) -> Evaluation | None:
    recipe = options.recipe
    state = _state_to_resume(options)
    task = find_task(recipe.task)
    training_data = task.training_data(recipe.data)
    validation_data = task.evaluation_data(
        recipe.data.root, split=recipe.data.val_split, scale=recipe.data.scale
    )
    batches = _batches(training_data, options, accelerator, start_step=state.get("step", 0))
    torch.manual_seed(recipe.seed)
    model = task.create_model(recipe.model, training_data)
    _load_initial(model, options)
    optimizer = create_optimizer(model, recipe.optimizer)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    prepared, optimizer = accelerator.prepare(model, optimizer)
    _restore(state, accelerator, recipe.seed)
    plan = engine.LoopPlan(
        num_steps=batches.num_steps,
        start_step=batches.start_step,
        accumulate=options.accumulate,
        clip_norm=recipe.optimizer.clip_norm,
        log_every=options.log_every,
        save_every=options.save_every,
        evaluate_every=_evaluation_interval(options, batches.steps_per_epoch),
    )
    evaluations: dict[int, Evaluation] = {}
    log = RunLog(options.run, is_main=accelerator.is_main_process, start_step=plan.start_step)
    with log:
        log.note(_describe(recipe, training_data, batches, accelerator))

        def evaluate(step: int) -> None:
            evaluations[step] = _evaluate(model, validation_data, task, accelerator)
            log.metrics(step, evaluations[step].headline)

        def save(step: int) -> None:
            _save(step, model, optimizer, options, accelerator)

        if accelerator.is_main_process:
            write_json(options.run / "recipe.json", _as_json(recipe))
        engine.train(
            prepared,
            training_loader(training_data, batches, num_workers=options.workers),
            optimizer,
            accelerator=accelerator,
            prepare=task.prepare,
            rate_at=lambda step: (
                recipe.optimizer.lr * recipe.schedule.factor(step, num_steps=plan.num_steps)
            ),
            plan=plan,
            log=log,
            save=save,
            evaluate=evaluate,
        )
        final = evaluations.get(plan.num_steps)
        if final is not None and accelerator.is_main_process:
            write_json(options.run / "metrics.json", final.metrics)
    return final


def _accelerator(options: Options) -> Accelerator:
    """Device, processes and precision."""
    engine.choose_device(options.device)
    on_cpu = options.device == "cpu" or not torch.cuda.is_available()
    precision = options.precision
    if precision == "auto":
        precision = "fp32" if on_cpu or not torch.cuda.is_bf16_supported() else "bf16"
    if precision == "fp16" and on_cpu:
        raise ValueError("--precision fp16 must have a GPU, got the CPU; use bf16 or fp32")
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision, cpu=on_cpu)


def _state_to_resume(options: Options) -> dict[str, Any]:
    """The training state of the last checkpoint with `--resume`, else an empty dict."""
    last = find_checkpoint(options.run)
    if not options.resume:
        if last is not None or list_checkpoints(options.run):
            raise ValueError(
                f"--out must not hold a run already, got {options.run}; "
                "use --resume to continue it, or another folder"
            )
        return {}
    if last is None:
        raise ValueError(f"--resume must find a checkpoint in {options.run}, got none")
    state = load_state(last)
    before, now = json.loads(state["recipe"]), _as_json(options.recipe)
    changed = _differences(before, now)
    if changed:
        raise ValueError(f"--resume must have the recipe of {last}, got another {changed[0]}")
    return state | {"weights": str(last / WEIGHTS_FILE)}


def _batches(
    dataset: Any, options: Options, accelerator: Accelerator, *, start_step: int
) -> TrainingBatches:
    recipe = options.recipe

    def batches(num_steps: int) -> TrainingBatches:
        return TrainingBatches(
            len(dataset),
            recipe.batch_size,
            num_steps=num_steps,
            start_step=start_step,
            seed=recipe.seed,
            groups=getattr(dataset, "aspect_groups", None),
            part=(accelerator.process_index, accelerator.num_processes),
            num_parts_in_turn=options.accumulate,
        )

    return batches(recipe.num_steps(batches(0).steps_per_epoch))


def _load_initial(model: nn.Module, options: Options) -> None:
    """Weights of `--resume` or `--init` into a new model."""
    if options.resume:
        last = find_checkpoint(options.run)
        assert last is not None
        load_weights(model, last / WEIGHTS_FILE)
    elif options.init is not None:
        load_weights(model, options.init)


def _restore(state: Mapping[str, Any], accelerator: Accelerator, seed: int) -> None:
    """Random numbers and loss scaler of the checkpoint, or fresh ones for each process."""
    if not state:
        torch.manual_seed(seed + 1 + accelerator.process_index)
        return
    if len(state["random"]) != accelerator.num_processes:
        raise ValueError(
            f"--resume must have as many processes as before, got {accelerator.num_processes} "
            f"and {len(state['random'])}: their random numbers are part of the state"
        )
    if accelerator.scaler is not None and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    restore_random_state(state["random"][accelerator.process_index])


def _evaluation_interval(options: Options, steps_per_epoch: int) -> int:
    if options.evaluate_every is not None:
        return options.evaluate_every
    return steps_per_epoch if options.recipe.steps is None else 0


def _evaluate(
    model: nn.Module, dataset: Any, task: Task, accelerator: Accelerator
) -> Evaluation:
    """Score the model without touching the random numbers of the training."""
    state = random_state()
    evaluation = evaluate_model(model, dataset, task)
    restore_random_state(state)
    accelerator.wait_for_everyone()
    return evaluation


def _save(
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: Options,
    accelerator: Accelerator,
) -> None:
    """Checkpoint of every process's state, written by the main one."""
    states = gather_object([random_state()])
    if accelerator.is_main_process:
        scaler = accelerator.scaler
        state = {
            "recipe": json.dumps(_as_json(options.recipe)),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "random": states,
        }
        save_checkpoint(options.run, step, model=model, state=state, keep=options.keep)
    accelerator.wait_for_everyone()


def _describe(
    recipe: Recipe, dataset: Any, batches: TrainingBatches, accelerator: Accelerator
) -> str:
    return (
        f"{recipe.name}: {len(dataset)} images, {len(dataset.class_names)} classes, "
        f"{batches.num_steps} steps of {recipe.batch_size} images on "
        f"{accelerator.num_processes} x {accelerator.device.type}, "
        f"{accelerator.mixed_precision.replace('no', 'fp32')}"
    )


def _as_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(recipe), default=str))


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
    """`field (before, now)` for every field that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if before == now else [f"{path}: {now} instead of {before}"]
