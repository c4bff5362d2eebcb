"""Convolution, normalisation and ReLU."""

import torch

from swin_dense.heads.conv_norm import ConvNormReLU


def trained_layer(generator: torch.Generator) -> ConvNormReLU:
    layer = ConvNormReLU(3, 4, kernel_size=3)
    for _ in range(3):
        layer(torch.randn(2, 3, 8, 8, generator=generator) * 2 + 1)
    torch.nn.init.normal_(layer.bn.weight, generator=generator)
    torch.nn.init.normal_(layer.bn.bias, generator=generator)
    return layer


def test_folding_the_normalisation_changes_nothing(generator):
    layer = trained_layer(generator).eval()
    maps = torch.randn(2, 3, 5, 7, generator=generator)
    apart = layer(maps)  # gradients are on, so nothing is folded
    with torch.no_grad():
        torch.testing.assert_close(layer(maps), apart, rtol=1e-5, atol=1e-5)


def test_training_uses_the_statistics_of_the_batch(generator):
    layer = ConvNormReLU(3, 4, kernel_size=1)
    maps = torch.randn(2, 3, 5, 7, generator=generator)
    with torch.no_grad():
        expected = torch.nn.functional.relu(
            torch.nn.functional.batch_norm(layer.conv(maps), None, None, training=True)
        )
        torch.testing.assert_close(layer(maps), expected, rtol=1e-5, atol=1e-5)


def test_a_single_value_per_channel_takes_the_running_statistics(generator):
    layer = trained_layer(generator).train()
    single = torch.randn(1, 3, 1, 1, generator=generator)
    before = layer.bn.running_mean.clone()
    actual = layer(single)
    assert torch.equal(layer.bn.running_mean, before)
    torch.testing.assert_close(actual, layer.eval()(single))
