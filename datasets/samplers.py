"""Batch samplers: the images of each batch, their order, and each process's share.

Both are given to a `DataLoader` as `batch_sampler`, together with a data set that takes
`(index, epoch)` as an index.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class AspectRatioGroupedBatchSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled training batches grouped by aspect ratio, so that padding is small.

    The groups are detectron2's: images wider than high, and all others. The order depends on seed
    and epoch alone. Batches are made for all processes together and then split: with the same
    `batch_size` the same images make the same step on any number of processes. Left-over images of
    the two groups make mixed batches; the last one is filled up with images from the epoch's start,
    so that every image comes at least once and every batch is full.

    Yields lists of `(index, epoch)`, `batch_size / num_processes` long.
    """

    def __init__(
        self,
        aspect_ratios: Sequence[float] | np.ndarray,
        batch_size: int,
        *,
        rank: int = 0,
        num_processes: int = 1,
        seed: int = 0,
    ) -> None:
        """Start at the first batch of epoch 0.

        Args:
            aspect_ratios: `(N,)` width / height of each image.
            batch_size: images of one step, over all processes.
            rank: of this process, in `0..num_processes-1`.
            num_processes: must divide `batch_size`.
            seed: of the order, from 0 up.

        Raises:
            ValueError: there is no image, or the numbers do not fit each other.
        """
        _check_rank(rank, num_processes)
        if len(aspect_ratios) < 1:
            raise ValueError("batches need at least 1 image, got none")
        if batch_size < 1 or batch_size % num_processes:
            raise ValueError(
                f"batch_size must be a positive multiple of the number of processes, got"
                f" {batch_size} and {num_processes}"
            )
        self._is_wide = np.asarray(aspect_ratios) > 1
        self._batch_size = batch_size
        self._rank, self._num_processes = rank, num_processes
        self._seed = seed
        self._epoch, self._start = 0, 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """Set the epoch, and the first batch of it to yield, as a resumed run needs.

        Args:
            epoch: from 0 up.
            start: batches of the epoch to skip, in `0..num_batches`.

        Raises:
            ValueError: `epoch` is negative, or `start` is not in `0..num_batches`.
        """
        if epoch < 0 or not 0 <= start <= self.num_batches:
            raise ValueError(
                f"epoch must be at least 0 and start in 0..{self.num_batches}, got {epoch} and"
                f" {start}"
            )
        self._epoch, self._start = epoch, start

    @property
    def num_batches(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self._is_wide) // self._batch_size)

    def __len__(self) -> int:
        """Batches left in this epoch."""
        return self.num_batches - self._start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self._batch_size // self._num_processes
        for batch in self._epoch_batches()[self._start :]:
            share_of_rank = batch[self._rank * share : (self._rank + 1) * share]
            yield [(int(index), self._epoch) for index in share_of_rank]

    def _epoch_batches(self) -> np.ndarray:
        """All images of the epoch: `(num_batches, batch_size)`."""
        random = np.random.default_rng((self._seed, self._epoch))
        order = random.permutation(len(self._is_wide))
        full, left_over = [], []
        for group in (order[self._is_wide[order]], order[~self._is_wide[order]]):
            num_full = len(group) - len(group) % self._batch_size
            full.append(group[:num_full])
            left_over.append(group[num_full:])
        taken = np.concatenate(full + left_over)
        missing = self.num_batches * self._batch_size - len(taken)
        batches = np.concatenate([taken, np.resize(order, missing)]).reshape(-1, self._batch_size)
        return random.permutation(batches)


class EvaluationBatchSampler(Sampler[list[int]]):
    """Each image exactly once over all processes, in order; yields lists of indices.

    Process `rank` takes images `rank`, `rank + num_processes`, and so on, so processes may have a
    batch more or less than others, and the last batch may be short. No image is dropped or doubled.
    """

    def __init__(
        self, num_images: int, batch_size: int = 1, *, rank: int = 0, num_processes: int = 1
    ) -> None:
        """Take this process's share of `num_images`.

        Raises:
            ValueError: a number is out of range.
        """
        _check_rank(rank, num_processes)
        if num_images < 0 or batch_size < 1:
            raise ValueError(
                f"num_images must be at least 0 and batch_size at least 1, got {num_images} and"
                f" {batch_size}"
            )
        self._indices = range(rank, num_images, num_processes)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, len(self._indices), self._batch_size):
            yield list(self._indices[first : first + self._batch_size])


def _check_rank(rank: int, num_processes: int) -> None:
    if not 0 <= rank < num_processes:
        raise ValueError(f"rank must be in 0..{num_processes - 1}, got {rank}")
