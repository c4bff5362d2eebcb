"""One training from data to files: its parts set up, and the functions that the loop calls back."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object

from swin_dense.datasets.images import limit_pixels
from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.datasets.samples import describe_left_out
from swin_dense.heads.model_config import ModelConfig
from swin_dense.tools.files import atomic_write, hold, make_writable, write_json
from swin_dense.tools.recipes.masks import check_masks
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import unchanged
from swin_dense.tools.report.run_report import keep_evaluation, renew_report
from swin_dense.tools.runs.checkpoints import mark_score, random_state, restore_random_state
from swin_dense.tools.runs.evaluations import drop_later_records
from swin_dense.tools.runs.log import RunLog, read_log
from swin_dense.tools.runs.names import KEPT_FILE, RECIPE_FILE
from swin_dense.tools.tasks.evaluation import evaluate_model
from swin_dense.tools.tasks.table import find_task
from swin_dense.tools.tasks.task import Evaluation, Task
from swin_dense.tools.training import loop
from swin_dense.tools.training.loaders import TrainingBatchSampler, training_loader
from swin_dense.tools.training.options import Options, with_model_of_init, with_scaled_lr
from swin_dense.tools.training.run_state import (
    RunState,
    check_new_folder,
    compare_data,
    find_resumed,
    load_initial,
    recipe_as_json,
    state_to_resume,
)
from swin_dense.tools.training.sanity_check import has_annotations, sanity_check, show_samples
from swin_dense.tools.training.setup import (
    Trained,
    check_model_memory,
    create_accelerator,
    distribute,
    resolve_launcher,
)

_NUM_NAMED = 4  # classes in the first line


def train(options: Options) -> Evaluation | None:
    """Train a recipe.

    The folder of the run then holds `last/model.safetensors`, `best`, older checkpoints,
    `log.jsonl`, `results.csv`, `tensorboard/`, `recipe.json`, `metrics.json`, `evaluations/` and
    `report.html`.

    Returns:
        The scores after the last step; None where the run was stopped before it.

    Raises:
        ValueError: recipe, flags, data or weights are wrong or do not fit each other; the folder
            cannot be written, is in use, or holds a run (without `--resume`) or none (with it); a
            loss is not finite.
        FileNotFoundError: the data or the weights are missing.
    """
    options = resolve_launcher(with_scaled_lr(with_model_of_init(options)))
    limit_pixels(options.max_megapixels)
    accelerator = create_accelerator(options)
    is_alone = accelerator.num_processes == 1
    try:
        return _train_in_folder(options, accelerator)
    finally:
        if is_alone:  # else a notebook's next training could not have another precision or device
            AcceleratorState._reset_state(reset_partial_state=True)


def _train_in_folder(options: Options, accelerator: Accelerator) -> Evaluation | None:
    """Train where nothing else is overwritten and no other run lives."""
    num_parts = accelerator.num_processes * options.accumulate
    if options.recipe.batch_size % num_parts:
        raise ValueError(
            f"batch_size must be divisible by processes x --accumulate, got "
            f"{options.recipe.batch_size} and {accelerator.num_processes} x {options.accumulate}"
        )
    if options.resume:
        find_resumed(options.run)  # before a folder is made under a mistyped name
    run_folder = make_writable(options.run)
    if not accelerator.is_main_process:
        return _train(options, accelerator)
    if not options.resume:
        check_new_folder(run_folder)
    with hold(run_folder):
        return _train(options, accelerator)


def _train(options: Options, accelerator: Accelerator) -> Evaluation | None:
    recipe = options.recipe
    state = state_to_resume(options)
    task = find_task(recipe.task)
    training_data = task.training_data(recipe.data, seed=recipe.seed)
    _check_num_classes(recipe, training_data)
    remark = check_masks(recipe, getattr(training_data, "annotation_counts", {}))
    epochs = AspectRatioGroupedBatchSampler(
        task.aspect_ratios(training_data),
        recipe.batch_size,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
        seed=recipe.seed,
    )
    batches = TrainingBatchSampler(
        epochs,
        num_steps=recipe.num_steps(epochs.num_batches),
        start_step=state.get("step", 0),
        num_parts=options.accumulate,
    )
    plan = loop.LoopPlan(
        num_steps=batches.num_steps,
        start_step=batches.start_step,
        accumulate=options.accumulate,
        clip_norm=recipe.optimizer.clip_norm,
        log_every=options.log_every,
        save_every=options.save_every,
        save_seconds=60 * options.save_minutes,
        evaluate_every=_evaluation_interval(options, epochs.num_batches),
    )
    with RunLog(
        options.run, is_main=accelerator.is_main_process, start_step=batches.start_step
    ) as log:
        _note_description(log, "to train on", training_data)
        log.note(_describe(recipe, training_data, batches, accelerator))
        left_out = getattr(training_data, "report", None)
        if left_out:
            log.note(f"left out of training: {describe_left_out(left_out)}")
        if remark:
            log.note(remark)
        if state:
            compare_data(state, training_data, log)
        check_model_memory(_without_pretrained(options), accelerator.device)
        torch.manual_seed(recipe.seed)
        model = task.create_model(_without_pretrained(options), training_data)
        if model.task != recipe.task:
            raise ValueError(
                f"the model must be for the data's task, got one for {model.task} and data for "
                f"{recipe.task}; set --model.task to what the data are for"
            )
        load_initial(model, options, log)
        trained = distribute(model, options, accelerator)
        run_state = RunState(trained, accelerator, training_data)
        run_state.restore(state, options, log)
        if accelerator.is_main_process:
            drop_later_records(options.run, batches.start_step)
        job = _Job(options, task, accelerator, log, trained, run_state)
        job.write_recipe(training_data)
        if state and plan.start_step >= plan.num_steps:
            log.note(f"all {plan.num_steps} steps are done already")
        if not state:
            job.sanity_check(training_data, batches)
            if options.check_only:
                return None
        if options.track is not None:
            log.track(options.track, recipe_as_json(recipe), is_resumed=options.resume)
        if state and plan.is_due(plan.start_step, plan.evaluate_every):
            job.evaluate_if_missing(plan.start_step)
        loop.train(
            trained.network,
            training_loader(training_data, batches, num_workers=options.workers),
            trained.optimizer,
            accelerator=accelerator,
            prepare=partial(task.prepare, data=recipe.data),
            lr_at=lambda step: (
                recipe.optimizer.lr * recipe.schedule.factor(step, num_steps=batches.num_steps)
            ),
            plan=plan,
            log=log,
            save=job.save,
            evaluate=job.evaluate,
            after_step=trained.update_ema,
            window=run_state.window,
        )
        if accelerator.is_main_process and batches.num_steps not in job.evaluations:
            renew_report(options.run, log)
    return job.evaluations.get(batches.num_steps)


class _Job:
    """Evaluation and checkpoints of one training, which the loop calls back."""

    def __init__(
        self,
        options: Options,
        task: Task,
        accelerator: Accelerator,
        log: RunLog,
        trained: Trained,
        run_state: RunState,
    ) -> None:
        self.evaluations: dict[int, Evaluation] = {}
        self._options = options
        self._task = task
        self._accelerator = accelerator
        self._log = log
        self._trained = trained
        self._run_state = run_state
        data = options.recipe.data
        self._predictor = task.predictor(task.evaluation_flags(scale=data.scale), trained.model)
        self._data = task.evaluation_data(data, scale=self._predictor.scale, model=trained.model)
        _note_description(log, "to evaluate on", self._data)
        task.check_classes(trained.model, self._data)

    def write_recipe(self, training_data: Any) -> None:
        """Write recipe and splits, and the images that are kept from the training if some are."""
        if not self._accelerator.is_main_process:
            return
        run = self._options.run
        splits = {
            part: getattr(dataset, "split_name", None)
            for part, dataset in (("training", training_data), ("evaluation", self._data))
        }
        more = {"task": self._task.name, "splits": splits}
        write_json(run / RECIPE_FILE, recipe_as_json(self._options.recipe) | more)
        kept = getattr(self._data, "kept_images", ())
        if kept:
            atomic_write(run / KEPT_FILE, "".join(f"{name}\n" for name in kept))

    def sanity_check(self, dataset: Any, batches: TrainingBatchSampler) -> None:
        """Try the first steps and an evaluation, and show what is trained on."""
        recipe = self._options.recipe
        samples = sanity_check(
            self._trained,
            batches,
            task=self._task,
            training_data=dataset,
            evaluation_data=self._data,
            prepare=partial(self._task.prepare, data=recipe.data),
            predictor=self._predictor,
            accelerator=self._accelerator,
        )
        if self._accelerator.is_main_process:
            page = show_samples(
                self._options.run, recipe.name, samples, task=self._task, training_data=dataset
            )
            self._log.note(f"data and model are in order; what is trained on: {page}")
            if not has_annotations(samples, task=self._task, training_data=dataset):
                self._log.note(
                    f"but none of the {len(samples)} samples of the first steps has any "
                    f"{self._task.annotation_unit}; see that page before hours are spent"
                )

    def evaluate(self, step: int) -> None:
        """Score the model without touching the random numbers of the training."""
        state = random_state()
        with self._trained.for_evaluation() as model:
            evaluation = evaluate_model(
                model,
                self._data,
                self._task,
                predict=self._predictor.predict,
                batch_size=self._predictor.batch_size,
                num_workers=self._options.workers,
                part=(self._accelerator.process_index, self._accelerator.num_processes),
                gather=gather_object if self._accelerator.num_processes > 1 else None,
            )
        restore_random_state(state)
        self.evaluations = {step: evaluation}  # the last; each holds every detection
        if self._accelerator.is_main_process:
            name, value = next(iter(evaluation.headline.items()))
            mark_score(self._options.run, step, name=name, value=value)
            write_json(self._options.run / "metrics.json", evaluation.metrics)
            keep_evaluation(self._options.run, step, evaluation, self._log)
        # the mark of an evaluation that is done
        self._log.metrics(step, evaluation.headline, names=self._task.score_name)
        if self._accelerator.is_main_process:
            renew_report(self._options.run, self._log)
        self._accelerator.wait_for_everyone()

    def evaluate_if_missing(self, step: int) -> None:
        """Make up for an evaluation that was cut off after its checkpoint was written."""
        if not any(
            line["step"] == step and "metrics" in line for line in read_log(self._options.run)
        ):
            self.evaluate(step)

    def save(self, step: int) -> None:
        """Write a checkpoint with the state of every process."""
        self._run_state.save(step, self._options)


def _without_pretrained(options: Options) -> ModelConfig:
    """The recipe's model; where its weights come from a file, its backbone fetches none."""
    model = options.recipe.model
    if not options.resume and options.init is None:
        return model
    return replace(model, backbone=model.backbone.without_pretrained())


def _evaluation_interval(options: Options, steps_per_epoch: int) -> int:
    for interval in (options.evaluate_every, options.recipe.evaluate_every):
        if interval is not None:
            return interval
    return steps_per_epoch if options.recipe.steps is None else 0


def _check_num_classes(recipe: Recipe, dataset: Any) -> None:
    """Refuse a number of classes by flag that is not the data's."""
    given, there = recipe.model.num_classes, len(dataset.class_names)
    if given not in (there, unchanged(recipe).model.num_classes):
        raise ValueError(
            f"--model.num-classes must be left out or be that of the data, got {given} and {there} "
            f"classes in {recipe.data.root}"
        )


def _note_description(log: RunLog, purpose: str, dataset: Any) -> None:
    """Log what a data set says of its folder, if it does."""
    description = getattr(dataset, "description", None)
    if description is not None:
        log.note(f"{purpose}: {description}")


def _describe(
    recipe: Recipe, dataset: Any, batches: TrainingBatchSampler, accelerator: Accelerator
) -> str:
    names = dataset.class_names
    named = ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "")
    counts = getattr(dataset, "annotation_counts", {})
    counted = "".join(f"{count} {what}, " for what, count in counts.items())
    return (
        f"{recipe.name}: {len(dataset)} images, {counted}{len(names)} "
        f"class{'' if len(names) == 1 else 'es'} ({named}), "
        f"{batches.num_steps} steps of {recipe.batch_size} images on "
        f"{accelerator.num_processes} x {accelerator.device.type}, "
        f"{accelerator.mixed_precision.replace('no', 'fp32')}"
    )
