"""`swin-dense evaluate`: the scores of a model on a data set."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.models import Model
from swin_dense.tools.files import make_file_writable, write_whole
from swin_dense.tools.runs.log import finite_or_none
from swin_dense.tools.tasks.task import Evaluation, Gather, Inference, Predict, Task, find_task
from swin_dense.tools.training.loading import evaluation_loader
from swin_dense.tools.training.loop import choose_device, predict_batches


@dataclass(frozen=True, kw_only=True)
class Options(Inference):
    """The scores of a model on a split of a data set: COCO's 12 numbers, or mIoU."""

    weights: Path
    """Weights file of a whole model; the architecture is read off it."""
    data: Path
    """Folder of the data set."""
    split: str | None = None
    """Part of the data set; None: the task's (val2017, validation)."""
    json: Path | None = None
    """File for the scores."""
    results: Path | None = None
    """Detection: file for what was found, as COCO results (boxes and masks in one)."""
    zero_is_ignored: bool = True
    """Segmentation: label maps store 0 for "ignored" and 1..K; else they store 0..K-1."""
    batch_size: int = 1
    """Images predicted together."""
    workers: int = 2
    """Processes that read images; 0: none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network."""


def run(options: Options) -> None:
    """Evaluate and print the scores.

    Raises:
        ValueError: a flag, the data or the weights are wrong, or do not fit each other.
        FileNotFoundError: a file is missing.
    """
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    for file in (options.json, options.results):
        if file is not None:
            make_file_writable(file)
    model = from_checkpoint(options.weights).to(choose_device(options.device))
    task = find_task(model.task)
    if options.results is not None and task.name != "detection":
        raise ValueError("--results is for detection, got a segmentor; predict writes label maps")
    predictor = task.predictor(options)
    data = task.data_at(options.data, split=options.split, zero_is_ignored=options.zero_is_ignored)
    dataset = task.evaluation_data(data, scale=predictor.scale, model=model)
    evaluation = evaluate_model(
        model,
        dataset,
        task,
        predict=predictor.predict,
        batch_size=options.batch_size,
        num_workers=options.workers,
        precision=options.precision,
    )
    if options.json is not None:
        write_json(options.json, evaluation.metrics)
    if options.results is not None and evaluation.write_results is not None:
        evaluation.write_results(options.results)
    console = Console()
    for table in evaluation.tables:
        console.print(table)


def evaluate_model(
    model: Model,
    dataset: Any,
    task: Task,
    *,
    predict: Predict,
    batch_size: int = 1,
    num_workers: int = 0,
    precision: str = "fp32",
    part: tuple[int, int] = (0, 1),
    gather: Gather | None = None,
) -> Evaluation:
    """Predict every sample of a data set, with progress on stderr, and score the predictions.

    Args:
        model: whole model, on the device to use.
        dataset: what `task.evaluation_data` gave.
        task: of the model.
        predict: of the task's predictor, for whose scale the data set was made.
        batch_size: images predicted together.
        num_workers: processes that read images.
        precision: "fp32", "bf16" or "fp16".
        part: `(index, count)` of this process, if several share the data set.
        gather: joins the lists of all of them.
    """
    loader = evaluation_loader(dataset, batch_size=batch_size, num_workers=num_workers, part=part)
    console = Console(stderr=True, quiet=part[0] > 0)
    batches = track(loader, "evaluating", console=console, transient=True, total=len(loader))
    predictions = predict_batches(model, batches, predict=predict, precision=precision)
    return task.evaluate(model, dataset, predictions, gather=gather)


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside its final name and rename it; nan and inf become null."""
    write_whole(path, json.dumps(finite_or_none(content), indent=1) + "\n")
