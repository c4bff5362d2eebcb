"""Tests of the sample types and the batch's form."""

import torch
from torch.utils.data import DataLoader

from swin_dense.datasets.samples import Size, collate_samples, describe_left_out


def test_size_is_height_then_width_and_equals_a_plain_tuple() -> None:
    assert Size(height=3, width=4) == (3, 4)


def test_collate_keeps_samples_of_different_sizes_as_they_are() -> None:
    samples = [{"image": torch.zeros(3, 4, 5)}, {"image": torch.zeros(3, 6, 7)}]
    assert collate_samples(samples) is samples


def test_a_loader_gives_batches_as_lists_of_samples() -> None:
    samples = [
        {"image": torch.full((3, 2, 2 + i), i), "original_size": Size(2, i)} for i in range(3)
    ]
    batches = list(DataLoader(samples, batch_size=2, collate_fn=collate_samples))
    assert [len(batch) for batch in batches] == [2, 1]
    assert batches[0][1]["original_size"] == Size(2, 1)


def test_what_is_left_out_is_counted_in_words_the_most_first() -> None:
    counts = {
        "boxes without area": 1,
        "crowds": 12,
        "images without objects": 1500,
        "objects without a mask": 0,
    }
    assert (
        describe_left_out(counts) == "1,500 images without objects, 12 crowds, 1 box without area"
    )
    assert describe_left_out({}) == ""
