"""Sines and cosines of places, by hand."""

import math

import torch

from swin_dense.heads.mask2former.decoders.position_encoding import sine_encoding

CPU = torch.device("cpu")


def test_the_first_half_tells_the_row_and_the_second_the_column() -> None:
    encoding = sine_encoding((2, 3), 8, device=CPU).view(2, 3, 8)
    assert torch.equal(encoding[0, 0, :4], encoding[0, 2, :4])
    assert torch.equal(encoding[0, 1, 4:], encoding[1, 1, 4:])


def test_values_are_those_of_the_paper() -> None:
    encoding = sine_encoding((4, 1), 8, device=CPU)
    angle = 2 * math.pi * 3 / 4  # third of four rows
    expected = [math.sin(angle), math.cos(angle), math.sin(angle / 100), math.cos(angle / 100)]
    torch.testing.assert_close(encoding[2, :4], torch.tensor(expected), rtol=0, atol=1e-5)
