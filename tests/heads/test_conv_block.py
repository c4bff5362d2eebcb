"""Convolution with an optional ReLU."""

import torch

from swin_dense.heads.conv_block import ConvBlock


def test_size_is_kept_and_relu_is_optional(generator: torch.Generator) -> None:
    maps = torch.randn(2, 3, 5, 7, generator=generator)
    assert ConvBlock(3, 4, kernel_size=3, relu=True)(maps).min() >= 0
    assert ConvBlock(3, 4, kernel_size=1, relu=False)(maps).min() < 0
    assert ConvBlock(3, 4, kernel_size=3, relu=False)(maps).shape == (2, 4, 5, 7)
