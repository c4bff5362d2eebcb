"""Parts that graphs share: normalisation, padding without branches, comparison of outputs."""

import re

import numpy as np
import pytest
import torch

import swin_dense as sd
from swin_dense.heads.graphs import Graph, normalise, pad_to_multiple


@pytest.mark.parametrize("size", [(32, 64), (33, 1), (70, 95)])
def test_normalised_and_padded_pixels_are_those_of_a_batch(size, generator) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    pixels = pad_to_multiple(normalise(image[None]), 32)
    torch.testing.assert_close(pixels, sd.batch_images([image]).pixels)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (np.zeros((1, 3)), r"shape \(1, 3\) instead of \(1, 2\)"),
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.array([[1.0, 2.1]]), "differences up to 0.1, over 0.002"),
    ],
)
def test_an_output_that_differs_is_named(got: np.ndarray, words: str) -> None:
    wanted = {"maps": np.array([[1.0, 2.0]])}
    ((name, difference),) = Graph().differences(wanted, {"maps": got})
    assert name == "maps"
    assert re.search(words, difference)


def test_rounding_is_no_difference() -> None:
    wanted = {"maps": np.array([[1.0, 2.0]]), "none": np.zeros((0, 4))}
    found = {"maps": np.array([[1.0005, 2.0]]), "none": np.zeros((0, 4))}
    assert not list(Graph().differences(wanted, found))
