"""Batches of the steps: over epochs, in parts, from any step; loaders draw no random number."""

import os
from typing import Any

import pytest
import torch

from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.tools.tasks.evaluation import evaluation_loader
from swin_dense.tools.training.loaders import TrainingBatchSampler, training_loader


class _Keys(torch.utils.data.Dataset[dict[str, Any]]):
    """Ten samples that show how they were asked for."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        return {"key": key}


def _epochs(*, rank: int = 0, num_processes: int = 1) -> AspectRatioGroupedBatchSampler:
    return AspectRatioGroupedBatchSampler(
        [1.0] * 10, 4, rank=rank, num_processes=num_processes, seed=3
    )


def test_steps_run_through_epochs_and_say_which() -> None:
    drawn = list(TrainingBatchSampler(_epochs(), num_steps=7))
    assert len(drawn) == 7
    assert [batch[0][1] for batch in drawn] == [0, 0, 0, 1, 1, 1, 2]
    assert {index for batch in drawn[:3] for index, _ in batch} == set(range(10))


@pytest.mark.parametrize("start", [1, 3, 4, 7])
def test_starting_later_gives_the_same_later_batches(start: int) -> None:
    whole = list(TrainingBatchSampler(_epochs(), num_steps=7))
    late = TrainingBatchSampler(_epochs(), num_steps=7, start_step=start)
    assert len(late) == 7 - start
    assert list(late) == whole[start:]


def test_a_step_is_cut_into_parts_that_follow_each_other() -> None:
    whole = list(TrainingBatchSampler(_epochs(), num_steps=4))
    parts = list(TrainingBatchSampler(_epochs(), num_steps=4, num_parts=2))
    assert len(parts) == 8
    assert [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)] == whole


def test_processes_share_the_images_of_a_step() -> None:
    whole = list(TrainingBatchSampler(_epochs(), num_steps=4))
    shares = [
        list(TrainingBatchSampler(_epochs(rank=rank, num_processes=2), num_steps=4))
        for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_loaders_leave_the_random_numbers_of_the_model_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    batches = list(evaluation_loader(_Keys(), batch_size=4, num_workers=0))
    assert torch.equal(torch.rand(3), expected)
    assert [[s["key"] for s in batch] for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_parts_of_an_evaluation_hold_each_sample_once() -> None:
    keys = [
        sample["key"]
        for index in range(3)
        for batch in evaluation_loader(_Keys(), batch_size=2, num_workers=0, part=(index, 3))
        for sample in batch
    ]
    assert sorted(keys) == list(range(10))


def test_worker_processes_give_the_same_samples_as_none() -> None:
    batches = TrainingBatchSampler(_epochs(), num_steps=3)
    alone = list(training_loader(_Keys(), batches, num_workers=0))
    assert list(training_loader(_Keys(), batches, num_workers=1)) == alone


def test_worker_processes_are_out_of_reach_of_signals_to_the_run() -> None:
    batches = TrainingBatchSampler(_epochs(), num_steps=1)
    (samples,) = training_loader(_Groups(), batches, num_workers=1)
    assert {sample["group"] for sample in samples}.isdisjoint({os.getpgrp()})


def test_workers_read_no_more_ahead_than_two_batches_each() -> None:
    batches = TrainingBatchSampler(_epochs(), num_steps=1)
    assert training_loader(_Keys(), batches, num_workers=2).prefetch_factor == 2


class _Groups(_Keys):
    """Samples that say which process group read them."""

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        return {"group": os.getpgrp()}
