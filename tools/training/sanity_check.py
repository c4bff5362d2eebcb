"""A look at data and model before a run: what would fail after hours fails in seconds.

Two steps are computed without being taken, and two images evaluated. Weights, BatchNorm's
statistics, optimiser, random numbers and the position in the data are afterwards as they were, so
that the run is the same to the bit with this look and without it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from swin_dense.tools.report.sample_page import NUM_SHOWN, write_sample_page
from swin_dense.tools.runs.checkpoints import random_state, restore_random_state
from swin_dense.tools.tasks.evaluation import predict_batches
from swin_dense.tools.tasks.task import Predictor, Sample, Task
from swin_dense.tools.training.loaders import TrainingBatchSampler
from swin_dense.tools.training.loop import Prepare
from swin_dense.tools.training.setup import Trained

_NUM_STEPS = 2
_NUM_EVALUATED = 2
_NUM_NAMED = 3


def sanity_check(
    trained: Trained,
    batches: TrainingBatchSampler,
    *,
    task: Task,
    training_data: Any,
    evaluation_data: Any,
    prepare: Prepare,
    predictor: Predictor,
    accelerator: Accelerator,
) -> list[Sample]:
    """Try what a run will do, and change nothing.

    Args:
        trained: model and optimiser, as the run will use them.
        batches: of this process.
        task: of the recipe.
        training_data: augmented.
        evaluation_data: as it is evaluated on.
        prepare: samples to what the model takes, on the device.
        predictor: of the evaluation.
        accelerator: processes and precision.

    Returns:
        The training samples that were looked at.

    Raises:
        ValueError: an image cannot be read; a loss or a gradient is not finite; a step does not
            fit into memory; or an evaluation fails.
    """
    samples = []
    with _nothing_changed(trained):
        trained.network.train()
        for keys in islice(iter(batches), _NUM_STEPS):
            batch = [training_data[key] for key in keys]
            _try_step(trained, batch, prepare, accelerator)
            samples += batch
        _try_evaluation(trained, evaluation_data, task, predictor, accelerator)
    return samples


def show_samples(
    run: Path, name: str, samples: Sequence[Sample], *, task: Task, training_data: Any
) -> Path:
    """Write the page of samples; fewer than a page holds are filled up from the data.

    Args:
        run: folder of the run.
        name: of the recipe.
        samples: what `sanity_check` looked at.
        task: of the recipe.
        training_data: augmented.
    """
    seen = {sample["image_id"] for sample in samples}
    others = (i for i, image_id in enumerate(training_data.image_ids) if image_id not in seen)
    missing = max(0, NUM_SHOWN - len(samples))
    random = random_state()
    shown = [*samples, *(training_data[i] for i in islice(others, missing))]
    page = write_sample_page(
        run, f"{name}: training samples", task=task, dataset=training_data, samples=shown
    )
    restore_random_state(random)
    return page


def has_annotations(samples: Sequence[Sample], *, task: Task, training_data: Any) -> bool:
    """True if any sample is annotated with anything, without which nothing is learned."""
    num_classes = len(training_data.class_names)
    return any(bool(task.class_counts(sample, num_classes).any()) for sample in samples)


@contextmanager
def _nothing_changed(trained: Trained) -> Iterator[None]:
    """Put back random numbers and buffers, drop gradients."""
    random = random_state()
    buffers = {name: buffer.clone() for name, buffer in trained.model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in trained.model.named_buffers():
                buffer.copy_(buffers[name])
        trained.raw_optimizer.zero_grad(set_to_none=True)
        restore_random_state(random)


def _try_step(
    trained: Trained, samples: Sequence[Sample], prepare: Prepare, accelerator: Accelerator
) -> None:
    """Forward and backward."""
    image_ids = [sample["image_id"] for sample in samples]
    try:
        images, targets = prepare(samples, accelerator.device)
        with accelerator.autocast():
            losses = trained.network(images, targets)
        sum(losses.values()).backward()
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"a step must fit the GPU's memory, got {len(samples)} images at once; use a larger "
            "--accumulate, a smaller --batch-size or --model.backbone.gradient-checkpointing"
        ) from error
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    if not all(torch.tensor(value).isfinite() for value in values.values()):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise ValueError(f"losses must be finite before the run, got {figures} on {image_ids}")
    bad = _non_finite_gradients(trained.model)
    if bad:
        named = ", ".join(bad[:_NUM_NAMED])
        raise ValueError(
            f"gradients must be finite before the run, got others in {len(bad)} parameters "
            f"({named}{', ...' if len(bad) > _NUM_NAMED else ''}) on {image_ids}"
        )
    trained.raw_optimizer.zero_grad(set_to_none=True)


def _non_finite_gradients(model: nn.Module) -> list[str]:
    """Names of the parameters."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(_local_part(parameter.grad).isfinite().all())
    ]


def _local_part(gradient: Tensor) -> Tensor:
    """The part that this process holds of a gradient that may be sharded."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _try_evaluation(
    trained: Trained, dataset: Any, task: Task, predictor: Predictor, accelerator: Accelerator
) -> None:
    """Predict and score the first images."""
    samples = [dataset[index] for index in range(min(_NUM_EVALUATED, len(dataset)))]
    with trained.for_evaluation() as model:
        predictions = predict_batches(
            model, ([sample] for sample in samples), predict=predictor.predict
        )
        found = list(predictions)  # on every process, as those of a sharded model work together
        if accelerator.is_main_process:
            task.evaluate(model, dataset, found)
