"""Convolutions in CPU inference give what the layers give."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swin_dense.kernels import convolution, kept_values
from swin_dense.kernels.convolution import convolve
from swin_dense.kernels.winograd import convolve_winograd, count_tiles, transform_weight


def draw(layer: nn.Module, generator: torch.Generator) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return layer.eval()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (1, 5, 5), (3, 2, 7), (1, 8, 6)])
@pytest.mark.parametrize("tiles", [1, 4, 1000])
@pytest.mark.parametrize("relu", [False, True])
def test_winograd_equals_the_plain_sum(shape, tiles, relu, generator, monkeypatch):
    monkeypatch.setattr("swin_dense.kernels.winograd._TILES_PER_THREAD", tiles)
    batch, height, width = shape
    maps = torch.randn(batch, 3, height, width, generator=generator)
    weight = torch.randn(5, 3, 3, 3, generator=generator)
    bias = torch.randn(5, generator=generator)
    expected = F.conv2d(maps.double(), weight.double(), bias.double(), padding=1)
    found = convolve_winograd(
        maps.contiguous(memory_format=torch.channels_last),
        transform_weight(weight),
        bias,
        relu=relu,
    )
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        found.double(), expected.relu() if relu else expected, rtol=0, atol=1e-5
    )


def test_winograd_without_a_bias(generator):
    maps = torch.randn(1, 2, 6, 6, generator=generator)
    weight = torch.randn(4, 2, 3, 3, generator=generator)
    found = convolve_winograd(maps, transform_weight(weight), None, relu=False)
    torch.testing.assert_close(found, F.conv2d(maps, weight, padding=1), rtol=0, atol=1e-5)


def test_tiles_are_of_two_cells_a_side():
    assert count_tiles(torch.zeros(2, 9, 5, 4)) == 2 * 3 * 2


def test_winograd_errs_less_than_the_plain_sum(generator):
    maps = torch.randn(1, 256, 12, 12, generator=generator)
    maps = maps.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(64, 256, 3, 3, generator=generator)
    exact = F.conv2d(maps.double(), weight.double(), padding=1)
    winograd = convolve_winograd(maps, transform_weight(weight), None, relu=False)
    plain = F.conv2d(maps, weight, padding=1)
    assert (winograd - exact).abs().mean() < 1.2 * (plain - exact).abs().mean()


LAYERS = {
    "3x3": lambda: nn.Conv2d(64, 64, 3, padding=1),
    "3x3 without bias": lambda: nn.Conv2d(64, 64, 3, padding=1, bias=False),
    "strided": lambda: nn.Conv2d(64, 64, 3, padding=1, stride=2),
    "dilated": lambda: nn.Conv2d(64, 64, 3, padding=2, dilation=2),
    "grouped": lambda: nn.Conv2d(64, 64, 3, padding=1, groups=2),
    "reflecting": lambda: nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
    "unpadded": lambda: nn.Conv2d(64, 64, 3),
    "same": lambda: nn.Conv2d(64, 64, 3, padding="same"),
    "1x1": lambda: nn.Conv2d(64, 5, 1),
    "transposed": lambda: nn.ConvTranspose2d(64, 7, 2, stride=2),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("relu", [False, True])
def test_every_kind_of_layer_gives_what_it_gives(name, relu, generator):
    layer = draw(LAYERS[name](), generator)
    maps = torch.randn(1, 64, 24, 23, generator=generator)
    assert count_tiles(maps) >= convolution._MIN_TILES
    expected = layer(maps).relu() if relu else layer(maps)
    with torch.no_grad():
        found = convolve(layer, maps, relu=relu)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-4)  # sums of 576 numbers
    is_winograd = name.startswith("3x3")
    assert (layer.weight in kept_values._kept) == is_winograd


def test_gradients_take_the_layer(generator):
    layer = draw(nn.Conv2d(64, 64, 3, padding=1), generator)
    convolve(layer, torch.randn(1, 64, 32, 32, generator=generator), relu=True).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight not in kept_values._kept


def test_a_change_of_the_weight_is_followed(generator):
    layer = draw(nn.Conv2d(64, 64, 3, padding=1), generator)
    maps = torch.randn(1, 64, 24, 24, generator=generator)
    with torch.no_grad():
        before = convolve(layer, maps)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        after = convolve(layer, maps)
    torch.testing.assert_close(after, 2 * before, rtol=1e-5, atol=1e-3)


def test_a_layer_with_a_hook_is_called(generator):
    layer = draw(nn.Conv2d(64, 64, 3, padding=1), generator)
    layer.register_forward_hook(lambda *call: call[-1] + 1)
    maps = torch.randn(1, 64, 24, 24, generator=generator)
    with torch.no_grad():
        assert torch.equal(
            convolve(layer, maps), layer(maps.contiguous(memory_format=torch.channels_last))
        )


@pytest.mark.parametrize("name", ["3x3", "1x1", "transposed"])
@pytest.mark.parametrize("emulated", [False, True])
def test_bfloat16_gives_bfloat16(name, emulated, generator, monkeypatch):
    monkeypatch.setattr(convolution, "emulates_bfloat16", lambda: emulated)
    layer = draw(LAYERS[name](), generator)
    maps = torch.randn(1, 64, 24, 24, generator=generator)
    with torch.no_grad():
        expected = layer(maps)
        with torch.autocast("cpu", torch.bfloat16):
            cast = convolve(layer, maps)
        half = convolve(layer.bfloat16(), maps.bfloat16())
    assert cast.dtype == half.dtype == torch.bfloat16
    scale = expected.abs().max()
    assert (cast - expected).abs().max() < 0.02 * scale
    assert (half - expected).abs().max() < 0.02 * scale


def test_a_layer_of_doubles_is_called(generator):
    layer = draw(nn.Conv2d(64, 64, 3, padding=1), generator).double()
    maps = torch.randn(1, 64, 24, 24, generator=generator).double()
    with torch.no_grad():
        torch.testing.assert_close(convolve(layer, maps), layer(maps))


def test_compilers_see_the_plain_layer(generator):
    layer = draw(nn.Conv2d(64, 64, 3, padding=1), generator)
    maps = torch.randn(1, 64, 24, 24, generator=generator)
    with torch.no_grad():
        compiled = torch.compile(lambda x: convolve(layer, x), backend="eager", fullgraph=True)
        assert torch.equal(compiled(maps), layer(maps))
