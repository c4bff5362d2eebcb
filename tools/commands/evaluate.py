"""`swin-dense evaluate`: the scores of a model on a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.files import make_file_writable, write_json
from swin_dense.tools.tasks.evaluation import choose_device, evaluate_model
from swin_dense.tools.tasks.task import Inference, find_task


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
    reduce_zero_label: bool = True
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
    data = task.data_at(
        options.data, split=options.split, reduce_zero_label=options.reduce_zero_label
    )
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
