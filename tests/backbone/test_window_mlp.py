"""The linear map over a window's tokens against the published formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.windowing.window_mlp import WindowMLP
from swin_dense.windowing.window_plans import plan_blocks

CPU = torch.device("cpu")


def make_mlp(*, num_heads: int = 3, window: int = 4) -> WindowMLP:
    torch.manual_seed(0)
    mlp = WindowMLP(num_heads=num_heads, window_size=window)
    torch.nn.init.normal_(mlp.bias)
    return mlp


def published(mlp: WindowMLP, windows: Tensor, window: int) -> Tensor:
    """`(n, L, C)` windows as the released code mixes them: a convolution in groups."""
    count, length, channels = windows.shape
    heads = windows.view(count, length, mlp.num_heads, channels // mlp.num_heads)
    heads = heads.transpose(1, 2)  # (n, nH, L, D)
    heads = heads.reshape(count, mlp.num_heads * length, channels // mlp.num_heads)
    mixed = F.conv1d(heads, mlp.weight, mlp.bias, groups=mlp.num_heads)
    mixed = mixed.view(count, mlp.num_heads, length, -1).transpose(1, 2)
    return mixed.reshape(count, length, channels)


def mix(mlp: WindowMLP, maps: Tensor, *, order: str, window: int = 4) -> Tensor:
    """`(B, H, W, C)` maps through the layer, and back in place."""
    (plan,), back = plan_blocks(
        [tuple(maps.shape[:3])],
        [order],
        window=window,
        device=CPU,
        max_tokens=None,
        with_image_indices=False,
    )
    tokens = maps.flatten(0, 2)[plan.permutation.index]
    return mlp(tokens, plan.chunks[0].groups)[back.index].view(maps.shape)


def test_windows_are_mixed_as_by_the_published_convolution(generator: torch.Generator) -> None:
    mlp = make_mlp()
    windows = torch.randn(5, 16, 6, generator=generator)
    maps = windows.view(5, 4, 4, 6)  # one window each
    expected = published(mlp, windows, 4)
    torch.testing.assert_close(mix(mlp, maps, order="regular").view(5, 16, 6), expected)


@pytest.mark.parametrize("window", [4, 5])  # of which half is cut off
def test_windows_are_shifted_by_padding_as_published(
    window: int, generator: torch.Generator
) -> None:
    mlp, shift = make_mlp(window=window), window // 2
    maps = torch.randn(2, 2 * window, 3 * window, 6, generator=generator)
    before = window - shift
    padded = F.pad(maps, (0, 0, before, shift, before, shift))
    cut = padded.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
    mixed = published(mlp, cut.reshape(-1, window**2, 6), window)
    joined = mixed.view(cut.shape).transpose(2, 3).reshape(padded.shape)
    expected = joined[:, before:-shift, before:-shift]
    found = mix(mlp, maps, order="padded", window=window)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_channels_of_a_head_are_mixed_alike_and_those_of_others_not() -> None:
    mlp = make_mlp(num_heads=2)
    maps = torch.zeros(1, 4, 4, 4)
    maps[0, 1, 2] = 1.0
    found = mix(mlp, maps, order="regular")
    torch.testing.assert_close(found[..., 0], found[..., 1])
    torch.testing.assert_close(found[..., 2], found[..., 3])
    assert not torch.allclose(found[..., 0], found[..., 2])


def test_initial_values_are_as_released() -> None:
    mlp = WindowMLP(num_heads=3, window_size=7)
    assert mlp.weight.shape == (147, 49, 1)
    assert mlp.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert mlp.bias.eq(0).all()
