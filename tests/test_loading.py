"""Order of batches: complete, repeatable, independent of processes, resumable."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from swin_dense.tools.loading import (
    SeededDataset,
    TrainingBatches,
    evaluation_loader,
    training_loader,
)


class _Numbers(torch.utils.data.Dataset[dict[str, Any]]):
    """Ten samples with random numbers from every source."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"index": index, "noise": (random.random(), np.random.rand(), torch.rand(()).item())}


def test_an_epoch_shows_every_sample_and_fills_the_last_batch() -> None:
    batches = TrainingBatches(10, 4, num_steps=3)
    assert batches.steps_per_epoch == 3
    drawn = [index for batch in batches for index, _ in batch]
    assert len(drawn) == 12
    assert set(drawn) == set(range(10))


def test_epochs_differ_in_order_and_seeds() -> None:
    drawn = list(TrainingBatches(10, 10, num_steps=2))
    assert drawn[0] != drawn[1]
    assert sorted(i for i, _ in drawn[0]) == sorted(i for i, _ in drawn[1])


@pytest.mark.parametrize("start", [1, 3, 4])
def test_starting_later_gives_the_same_later_batches(start: int) -> None:
    whole = list(TrainingBatches(10, 4, num_steps=7, seed=3))
    assert list(TrainingBatches(10, 4, num_steps=7, seed=3, start_step=start)) == whole[start:]


def test_processes_and_accumulated_parts_share_the_images_of_a_step() -> None:
    whole = list(TrainingBatches(20, 8, num_steps=3))
    first, second = (
        list(TrainingBatches(20, 8, num_steps=3, part=(rank, 2), num_parts_in_turn=2))
        for rank in range(2)
    )
    assert len(first) == len(second) == 6
    for step, batch in enumerate(whole):
        parts = [first[2 * step], second[2 * step], first[2 * step + 1], second[2 * step + 1]]
        assert sum(parts, []) == batch


def test_a_step_holds_images_of_one_group() -> None:
    groups = [0, 1, 1, 0, 1, 1, 0]
    batches = TrainingBatches(7, 2, num_steps=8, groups=groups)
    assert batches.steps_per_epoch == 4
    drawn = list(batches)
    assert all(len({groups[index] for index, _ in batch}) == 1 for batch in drawn)
    assert {index for batch in drawn[:4] for index, _ in batch} == set(range(7))


def test_a_batch_larger_than_the_data_repeats_images() -> None:
    (batch,) = TrainingBatches(3, 8, num_steps=1)
    assert len(batch) == 8
    assert {index for index, _ in batch} == {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0, "batch_size": 2}, "at least one image, got none"),
        ({"num_samples": 4, "batch_size": 3, "part": (0, 2)}, "divisible.* got 3 and 2 x 1"),
    ],
)
def test_parts_that_do_not_divide_the_batch_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingBatches(**arguments, num_steps=1)


def test_a_seeded_sample_repeats_whatever_came_before() -> None:
    data = SeededDataset(_Numbers())
    first = data[(3, 11)]
    torch.rand(5)
    assert data[(3, 11)] == first
    assert data[(3, 12)]["noise"] != first["noise"]


def test_loaders_leave_the_random_numbers_of_the_model_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loader = evaluation_loader(_Numbers(), batch_size=4, num_workers=0)
    iterator = iter(loader)
    assert torch.equal(torch.rand(3), expected)
    assert [[s["index"] for s in batch] for batch in [next(iterator)]] == [[0, 1, 2, 3]]


def test_worker_processes_give_the_same_samples_as_none() -> None:
    batches = TrainingBatches(10, 4, num_steps=3)
    alone = list(training_loader(_Numbers(), batches, num_workers=0))
    assert list(training_loader(_Numbers(), batches, num_workers=1)) == alone
