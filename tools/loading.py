"""Loaders: which images make up which step, and worker processes that repeat exactly.

The batches of a step and the random numbers of its augmentation depend on the seed and the step
alone. So a run continues to the bit from its step number, with any number of workers, and the
images of a step are the same for any number of processes.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from swin_dense.datasets.images import init_worker
from swin_dense.datasets.samples import collate_samples

Sample = dict[str, Any]  # the typed dicts of `datasets.samples`
Draw = tuple[int, int]  # index of a sample, seed of its augmentation


class TrainingBatches(Sampler[list[Draw]]):
    """Endless shuffling of a data set into batches, cut at a number of steps.

    Each pass over the data (epoch) is a new order. With `groups`, a step holds images of one group
    only (landscape or portrait: less padding); what is left over in a group at the end of an epoch
    is filled up from its beginning.

    Args:
        num_samples: samples of the data set, at least 1.
        batch_size: images of a step, over all processes and accumulated parts.
        num_steps: steps of the whole training.
        start_step: steps already done.
        seed: of order and augmentation.
        groups: group of each sample, `num_samples` long; None is one group.
        part: `(index, count)`: each step is cut into `count` equal parts of which this process
            takes number `index`.
        num_parts_in_turn: parts of this process that follow each other in one step (gradient
            accumulation); its batches are that much smaller and that many more.

    Raises:
        ValueError: `batch_size` is not divisible by the parts, or there is no sample.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        num_steps: int,
        start_step: int = 0,
        seed: int = 0,
        groups: Sequence[int] | None = None,
        part: tuple[int, int] = (0, 1),
        num_parts_in_turn: int = 1,
    ) -> None:
        if num_samples < 1:
            raise ValueError("the training split must have at least one image, got none")
        num_parts = part[1] * num_parts_in_turn
        if batch_size < 1 or batch_size % num_parts:
            raise ValueError(
                f"batch_size must be divisible by processes x accumulated parts, got {batch_size} "
                f"and {part[1]} x {num_parts_in_turn}"
            )
        self.batch_size = batch_size
        self.num_steps = num_steps
        self.start_step = start_step
        self.seed = seed
        self.part = part
        self.num_parts_in_turn = num_parts_in_turn
        self._groups = np.zeros(num_samples, dtype=np.int64) if groups is None else np.array(groups)
        _, counts = np.unique(self._groups, return_counts=True)
        self.steps_per_epoch = int(sum(-(-counts // batch_size)))

    def __len__(self) -> int:
        return (self.num_steps - self.start_step) * self.num_parts_in_turn

    def __iter__(self) -> Iterator[list[Draw]]:
        order: list[list[Draw]] = []
        epoch = -1
        size = self.batch_size // (self.part[1] * self.num_parts_in_turn)
        for step in range(self.start_step, self.num_steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = self._shuffle(epoch)
            batch = order[step % self.steps_per_epoch]
            for turn in range(self.num_parts_in_turn):
                start = (turn * self.part[1] + self.part[0]) * size
                yield batch[start : start + size]

    def _shuffle(self, epoch: int) -> list[list[Draw]]:
        """Batches of one epoch, in order."""
        source = np.random.default_rng((self.seed, epoch))
        order = source.permutation(len(self._groups))
        batches: list[list[Draw]] = []
        for group in np.unique(self._groups):
            members = order[self._groups[order] == group]
            num_batches = -(-len(members) // self.batch_size)
            filled = np.resize(members, num_batches * self.batch_size)  # repeats from the beginning
            seeds = source.integers(2**31, size=filled.shape)
            draws = list(zip(filled.tolist(), seeds.tolist(), strict=True))
            batches += [
                draws[start : start + self.batch_size]
                for start in range(0, len(draws), self.batch_size)
            ]
        return [batches[index] for index in source.permutation(len(batches))]


class SeededDataset(Dataset[Sample]):
    """A data set whose augmentation is fixed by the seed that comes with the index."""

    def __init__(self, dataset: Dataset[Sample]) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: Draw) -> Sample:
        index, seed = draw
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        transforms = getattr(self.dataset, "transforms", None)
        if hasattr(transforms, "set_random_seed"):
            transforms.set_random_seed(seed)
        return self.dataset[index]


def training_loader(
    dataset: Dataset[Sample], batches: TrainingBatches, *, num_workers: int
) -> DataLoader[Sample]:
    """Loader of lists of samples in the order of `batches`."""
    return DataLoader(
        SeededDataset(dataset),
        batch_sampler=batches,
        **_loader_options(num_workers),
    )


def evaluation_loader(
    dataset: Dataset[Sample], *, batch_size: int, num_workers: int
) -> DataLoader[Sample]:
    """Loader of lists of samples, each sample once, in the data set's order."""
    return DataLoader(
        dataset, batch_size=batch_size, shuffle=False, **_loader_options(num_workers)
    )


def _loader_options(num_workers: int) -> dict[str, Any]:
    return {
        "collate_fn": collate_samples,
        "num_workers": num_workers,
        "pin_memory": torch.cuda.is_available(),
        "worker_init_fn": init_worker,
        # A source of its own: making a loader must not move the model's random numbers.
        "generator": torch.Generator().manual_seed(0),
    }
