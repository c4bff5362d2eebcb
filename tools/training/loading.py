"""Loaders: the images of each step, and worker processes that repeat exactly.

The batches of a step depend on the seed and the step alone, and the augmentation of a sample on the
seed, the epoch and the sample. So a run continues to the bit from its step number, with any number
of workers, and the images of a step are the same for any number of processes.
"""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from swin_dense.datasets.images import init_worker
from swin_dense.datasets.samplers import AspectRatioBatches, EvaluationBatches
from swin_dense.datasets.samples import collate_samples

Sample = dict[str, Any]  # the typed dicts of `datasets.samples`

_PREFETCHED = 2  # batches that each worker reads ahead: more would be memory without use


class TrainingBatches(Sampler[list[tuple[int, int]]]):
    """The batches of one epoch after the other, from a step to a step.

    Args:
        epochs: this process's share of each step's batch.
        num_steps: steps of the whole training.
        start_step: steps already done.
        num_parts: each batch is cut into so many equal ones that follow each other (gradient
            accumulation).
    """

    def __init__(
        self, epochs: AspectRatioBatches, *, num_steps: int, start_step: int = 0, num_parts: int = 1
    ) -> None:
        self.num_steps = num_steps
        self.start_step = start_step
        self._epochs = epochs
        self._num_parts = num_parts

    def __len__(self) -> int:
        return (self.num_steps - self.start_step) * self._num_parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.start_step
        while step < self.num_steps:
            self._epochs.set_position(*divmod(step, self._epochs.num_batches))
            for batch in islice(self._epochs, self.num_steps - step):
                size = len(batch) // self._num_parts
                for part in range(self._num_parts):
                    yield batch[part * size : (part + 1) * size]
                step += 1


def training_loader(
    dataset: Dataset[Sample], batches: TrainingBatches, *, num_workers: int
) -> DataLoader[Sample]:
    """Loader of lists of samples in the order of `batches`."""
    return DataLoader(dataset, batch_sampler=batches, **_loader_options(num_workers))


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
    batches = EvaluationBatches(len(dataset), batch_size, rank=part[0], num_processes=part[1])
    return DataLoader(dataset, batch_sampler=batches, **_loader_options(num_workers))


def _loader_options(num_workers: int) -> dict[str, Any]:
    return {
        "collate_fn": collate_samples,
        "num_workers": num_workers,
        "pin_memory": torch.cuda.is_available(),
        "worker_init_fn": _init_worker,
        "prefetch_factor": _PREFETCHED if num_workers else None,
        # A source of its own: making a loader must not move the model's random numbers.
        "generator": torch.Generator().manual_seed(0),
    }


def _init_worker(worker_id: int) -> None:
    """Make a worker process deaf to what is said to the whole run.

    An interrupt from the terminal, or a launcher's SIGTERM, goes to every process of the group; the
    main process saves a checkpoint then, and needs its workers until it has.
    """
    os.setpgid(0, 0)
    init_worker(worker_id)
