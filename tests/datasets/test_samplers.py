"""Tests of batch order: complete, repeatable, divisible over processes, resumable."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest

from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler, EvaluationBatchSampler


def _ratios(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([0.7, 1.0, 1.5], count)


@pytest.mark.parametrize(("count", "batch_size"), [(100, 8), (96, 8), (7, 2), (3, 8), (1, 1)])
def test_every_image_comes_and_every_batch_is_full(count: int, batch_size: int) -> None:
    batches = list(AspectRatioGroupedBatchSampler(_ratios(count), batch_size))
    assert len(batches) == -(-count // batch_size)
    assert {len(batch) for batch in batches} == {batch_size}
    drawn = Counter(index for batch in batches for index, _ in batch)
    assert set(drawn) == set(range(count))
    assert sum(drawn.values()) - count < batch_size


def test_batches_are_of_one_aspect_ratio_group_but_for_the_left_over() -> None:
    ratios = _ratios(200)
    batches = list(AspectRatioGroupedBatchSampler(ratios, 8))
    mixed = [len({bool(ratios[index] > 1) for index, _ in batch}) > 1 for batch in batches]
    assert sum(mixed) <= 2


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    ratios = _ratios(50)
    sampler = AspectRatioGroupedBatchSampler(ratios, 4, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    assert list(AspectRatioGroupedBatchSampler(ratios, 4, seed=3)) == first
    assert list(AspectRatioGroupedBatchSampler(ratios, 4, seed=4)) != first
    sampler.set_position(1)
    second = list(sampler)
    assert {epoch for batch in second for _, epoch in batch} == {1}
    assert [[i for i, _ in batch] for batch in second] != [[i for i, _ in batch] for batch in first]


@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_split_the_batches_of_a_single_one(num_processes: int) -> None:
    ratios = _ratios(50)
    whole = list(AspectRatioGroupedBatchSampler(ratios, 8))
    shares = [
        list(AspectRatioGroupedBatchSampler(ratios, 8, rank=rank, num_processes=num_processes))
        for rank in range(num_processes)
    ]
    joined = [list(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert joined == whole


def test_a_stopped_epoch_goes_on_where_it_was() -> None:
    ratios = _ratios(50)
    sampler = AspectRatioGroupedBatchSampler(ratios, 4)
    sampler.set_position(2)
    whole = list(sampler)
    resumed = AspectRatioGroupedBatchSampler(ratios, 4)
    resumed.set_position(2, 5)
    assert len(resumed) == len(whole) - 5
    assert list(resumed) == whole[5:]
    resumed.set_position(2, resumed.num_batches)
    assert list(resumed) == []


def test_positions_outside_the_epoch_are_refused() -> None:
    sampler = AspectRatioGroupedBatchSampler(_ratios(8), 4)
    for position in ((-1, 0), (0, 3), (0, -1)):
        with pytest.raises(ValueError, match=r"start in 0\.\.2"):
            sampler.set_position(*position)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 image"):
        AspectRatioGroupedBatchSampler([], 2)
    with pytest.raises(ValueError, match="multiple of the number of processes, got 3 and 2"):
        AspectRatioGroupedBatchSampler([1.0], 3, num_processes=2)
    with pytest.raises(ValueError, match=r"rank must be in 0\.\.1, got 2"):
        AspectRatioGroupedBatchSampler([1.0], 2, rank=2, num_processes=2)
    with pytest.raises(ValueError, match="batch_size at least 1"):
        EvaluationBatchSampler(5, 0)


@pytest.mark.parametrize(("count", "batch_size", "processes"), [(10, 3, 1), (10, 1, 4), (2, 2, 3)])
def test_evaluation_takes_each_image_exactly_once(
    count: int, batch_size: int, processes: int
) -> None:
    taken: list[int] = []
    for rank in range(processes):
        sampler = EvaluationBatchSampler(count, batch_size, rank=rank, num_processes=processes)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        taken += chain(*batches)
    assert sorted(taken) == list(range(count))


def test_evaluation_in_one_process_keeps_the_order() -> None:
    assert list(EvaluationBatchSampler(5, 2)) == [[0, 1], [2, 3], [4]]
