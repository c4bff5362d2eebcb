"""Predicting over a data set, and scoring what was predicted, for any task."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from swin_dense.datasets.images import init_worker
from swin_dense.datasets.samplers import EvaluationBatchSampler
from swin_dense.datasets.samples import collate_samples
from swin_dense.datasets.transforms.resizing import PillowScale
from swin_dense.heads.whole_model import Model
from swin_dense.tools.progress import show_progress
from swin_dense.tools.tasks.task import Evaluation, Gather, Predict, Sample, Task

_PREFETCHED = 2  # batches that each worker reads ahead: more would be memory without use


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
    batches = show_progress(loader, "evaluating", total=len(loader), is_quiet=part[0] > 0)
    predictions = predict_batches(model, batches, predict=predict, precision=precision)
    return task.evaluate(model, dataset, predictions, gather=gather)


def released_scale(scale: tuple[int, int], model: Any) -> tuple[int, int]:
    """The scale `(long, short)`, px, with the filter that a model's kind is evaluated with."""
    return PillowScale(scale) if getattr(model, "is_resized_by_pillow", False) else scale


def predict_batches(
    model: Model,
    batches: Iterable[list[Sample]],
    *,
    predict: Predict,
    precision: str = "fp32",
) -> Iterator[tuple[list[Sample], list[Any]]]:
    """Predict over a loader, in the frame of the original images.

    Args:
        model: whole model, on the device to use; put into eval mode.
        batches: lists of samples with `original_size`.
        predict: gives the results of images.
        precision: "fp32", or "bf16" or "fp16" for autocast.

    Yields:
        The samples of a batch and the model's result for each.
    """
    model.eval()
    device = next(model.parameters()).device
    for samples in batches:
        with torch.no_grad(), autocast(device, precision):
            images = [sample["image"] for sample in samples]
            sizes = [tuple(sample["original_size"]) for sample in samples]
            results = predict(model, images, sizes)
        yield samples, results


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision of inference."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=types[precision])


def choose_device(name: str) -> torch.device:
    """The device of a `--device` flag.

    Raises:
        ValueError: "cuda" where there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda must have a GPU that torch can use, got none")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def evaluation_loader(
    dataset: Any,
    *,
    batch_size: int,
    num_workers: int,
    part: tuple[int, int] = (0, 1),
) -> DataLoader[Sample]:
    """Loader of lists of samples, each sample once, in order.

    Args:
        dataset: with a length.
        batch_size: samples of one list.
        num_workers: processes that read images; 0: none.
        part: `(index, count)`: of the data set's `count` equal parts only number `index`.
    """
    batches = EvaluationBatchSampler(len(dataset), batch_size, rank=part[0], num_processes=part[1])
    return DataLoader(dataset, batch_sampler=batches, **loader_options(num_workers))


def loader_options(num_workers: int) -> dict[str, Any]:
    """Options of a `DataLoader`: samples stay a list, workers survive an interrupt."""
    return {
        "collate_fn": collate_samples,
        "num_workers": num_workers,
        "pin_memory": torch.cuda.is_available(),
        "worker_init_fn": _init_worker,
        "prefetch_factor": _PREFETCHED if num_workers else None,
        # Not the global source: making a loader must not move the model's random numbers.
        "generator": torch.Generator().manual_seed(0),
    }


def _init_worker(worker_id: int) -> None:
    """Keep signals to the whole run from a worker process.

    An interrupt from the terminal, or a launcher's SIGTERM, goes to every process of the group; the
    main process saves a checkpoint then, and needs its workers until it has.
    """
    os.setpgid(0, 0)
    init_worker(worker_id)
