"""One training from data to files: what is set up, what the loop calls back, and continuing."""

import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from swin_dense.datasets.samplers import AspectRatioBatches
from swin_dense.heads.models import Model
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
from swin_dense.tools.recipe import Recipe
from swin_dense.tools.run_log import RunLog, read_log
from swin_dense.tools.tasks import Evaluation, Inference, Task, find_task
from swin_dense.tools.train_options import Options
from swin_dense.weights import initialise, load_weights


def train(options: Options) -> Evaluation | None:
    """Train a recipe.

    The folder of the run then holds `last/model.safetensors`, older checkpoints, `log.jsonl`,
    `tensorboard/`, `recipe.json` and `metrics.json`.

    Returns:
        The scores after the last step; None where the run was stopped before it.

    Raises:
        ValueError: recipe, flags, data or weights are wrong or do not fit each other; the folder
            cannot be written, is in use, or holds a run (without `--resume`) or none (with it); a
            loss is not finite.
        FileNotFoundError: the data or the weights are missing.
    """
    accelerator = _accelerator(options)
    num_parts = accelerator.num_processes * options.accumulate
    if options.recipe.batch_size % num_parts:
        raise ValueError(
            f"batch_size must be divisible by processes x --accumulate, got "
            f"{options.recipe.batch_size} and {accelerator.num_processes} x {options.accumulate}"
        )
    run_folder = make_writable(options.run)
    if not accelerator.is_main_process:
        return _train(options, accelerator)
    with hold(run_folder):
        return _train(options, accelerator)


def _train(options: Options, accelerator: Accelerator) -> Evaluation | None:
    recipe = options.recipe
    state = _state_to_resume(options)
    task = find_task(recipe.task)
    training_data = task.training_data(recipe.data, seed=recipe.seed)
    epochs = AspectRatioBatches(
        task.aspect_ratios(training_data),
        recipe.batch_size,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
        seed=recipe.seed,
    )
    batches = TrainingBatches(
        epochs,
        num_steps=recipe.num_steps(epochs.num_batches),
        start_step=state.get("step", 0),
        num_parts=options.accumulate,
    )
    plan = engine.LoopPlan(
        num_steps=batches.num_steps,
        start_step=batches.start_step,
        accumulate=options.accumulate,
        clip_norm=recipe.optimizer.clip_norm,
        log_every=options.log_every,
        save_every=options.save_every,
        evaluate_every=_evaluation_interval(options, epochs.num_batches),
    )
    with RunLog(
        options.run, is_main=accelerator.is_main_process, start_step=batches.start_step
    ) as log:
        log.note(_describe(recipe, training_data, batches, accelerator))
        torch.manual_seed(recipe.seed)
        model = task.create_model(recipe.model, training_data)
        _load_initial(model, options, log)
        model = engine.synchronise_norms(model, accelerator, log)
        optimizer = create_optimizer(model, recipe.optimizer)
        if state:
            optimizer.load_state_dict(state["optimizer"])
        prepared, optimizer = accelerator.prepare(model, optimizer)
        _restore(state, accelerator, recipe.seed)
        job = _Job(options, task, accelerator, log, model, optimizer)
        if state and plan.is_due(plan.start_step, plan.evaluate_every):
            job.evaluate_if_missing(plan.start_step)
        engine.train(
            prepared,
            training_loader(training_data, batches, num_workers=options.workers),
            optimizer,
            accelerator=accelerator,
            prepare=partial(task.prepare, data=recipe.data),
            rate_at=lambda step: (
                recipe.optimizer.lr * recipe.schedule.factor(step, num_steps=batches.num_steps)
            ),
            plan=plan,
            log=log,
            save=job.save,
            evaluate=job.evaluate,
        )
    return job.evaluations.get(batches.num_steps)


class _Job:
    """What the loop calls back: evaluation and checkpoints of one training."""

    def __init__(
        self,
        options: Options,
        task: Task,
        accelerator: Accelerator,
        log: RunLog,
        model: Model,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.evaluations: dict[int, Evaluation] = {}
        self._options = options
        self._task = task
        self._accelerator = accelerator
        self._log = log
        self._model = model
        self._optimizer = optimizer
        data = options.recipe.data
        self._predictor = task.predictor(Inference(scale=data.scale))
        self._data = task.evaluation_data(data, scale=self._predictor.scale, model=model)
        task.check_classes(model, self._data)
        if accelerator.is_main_process:
            write_json(options.run / "recipe.json", _as_json(options.recipe))

    def evaluate(self, step: int) -> None:
        """Score the model without touching the random numbers of the training."""
        state = random_state()
        engine.share_statistics(self._model, self._accelerator)
        evaluation = evaluate_model(
            self._model,
            self._data,
            self._task,
            predict=self._predictor.predict,
            num_workers=self._options.workers,
            part=(self._accelerator.process_index, self._accelerator.num_processes),
            gather=gather_object if self._accelerator.num_processes > 1 else None,
        )
        restore_random_state(state)
        self.evaluations[step] = evaluation
        self._log.metrics(step, evaluation.headline)
        if self._accelerator.is_main_process:
            write_json(self._options.run / "metrics.json", evaluation.metrics)
        self._accelerator.wait_for_everyone()

    def evaluate_if_missing(self, step: int) -> None:
        """Make up for an evaluation that was cut off after its checkpoint was written."""
        if not any(
            line["step"] == step and "metrics" in line for line in read_log(self._options.run)
        ):
            self.evaluate(step)

    def save(self, step: int) -> None:
        """Write a checkpoint with the state of every process."""
        states = gather_object([random_state()])
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            state = {
                "recipe": json.dumps(_as_json(self._options.recipe)),
                "optimizer": self._optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "random": states,
            }
            save_checkpoint(
                self._options.run, step, model=self._model, state=state, keep=self._options.keep
            )
        self._accelerator.wait_for_everyone()


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
    return state


def _load_initial(model: Model, options: Options, log: RunLog) -> None:
    """Weights of `--resume` or `--init` into a new model."""
    if options.resume:
        last = find_checkpoint(options.run)
        assert last is not None
        load_weights(model, last / WEIGHTS_FILE)
    elif options.init is not None:
        report = initialise(model, options.init, new_classes=options.new_classes)
        log.note(str(report))


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
