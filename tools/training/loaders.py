"""Loaders: the images of each step, and worker processes that repeat exactly.

The batches of a step depend on the seed and the step alone, and the augmentation of a sample on the
seed, the epoch and the sample. So a run continues to the bit from its step number, with any number
of workers, and the images of a step are the same for any number of processes.
"""

from collections.abc import Iterator
from itertools import islice

from torch.utils.data import DataLoader, Dataset, Sampler

from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.tools.tasks.evaluation import loader_options
from swin_dense.tools.tasks.task import Sample


class TrainingBatchSampler(Sampler[list[tuple[int, int]]]):
    """The batches of one epoch after the other, from a step to a step.

    Args:
        epochs: this process's share of each step's batch.
        num_steps: steps of the whole training.
        start_step: steps already done.
        num_parts: each batch is cut into so many equal ones that follow each other (gradient
            accumulation).
    """

    def __init__(
        self,
        epochs: AspectRatioGroupedBatchSampler,
        *,
        num_steps: int,
        start_step: int = 0,
        num_parts: int = 1,
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
    dataset: Dataset[Sample], batches: TrainingBatchSampler, *, num_workers: int
) -> DataLoader[Sample]:
    """Loader of lists of samples in the order of `batches`."""
    return DataLoader(dataset, batch_sampler=batches, **loader_options(num_workers))
