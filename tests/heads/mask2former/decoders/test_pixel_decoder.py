"""The pixel decoder: shapes, float32 under autocast, initial values."""

import torch

from swin_dense.heads.mask2former.decoders.pixel_decoder import PixelDecoder, ProjectionNorm

LEVELS = [torch.randn(2, 4 * 2**i, 16 // 2**i, 24 // 2**i) for i in range(4)]


def make() -> PixelDecoder:
    return PixelDecoder(
        (4, 8, 16, 32), 32, mask_channels=32, num_heads=4, num_layers=1, ffn_channels=8
    )


def test_memory_is_coarse_to_fine_and_masks_have_the_finest_size() -> None:
    decoded = make()(LEVELS)
    assert decoded.mask_features.shape == (2, 32, 16, 24)
    assert decoded.sizes == ((2, 3), (4, 6), (8, 12))
    assert [level.shape for level in decoded.memory] == [(2, 6, 32), (2, 24, 32), (2, 96, 32)]


def test_it_works_in_float32_under_autocast() -> None:
    decoder = make()
    expected = decoder(LEVELS).mask_features
    with torch.autocast("cpu", torch.bfloat16):
        found = decoder(LEVELS).mask_features
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_only_a_projection_with_bias_is_drawn_after_xavier() -> None:
    layer = ProjectionNorm(4, 32)
    layer.reset_parameters()
    assert layer.conv.bias is None
    assert layer.conv.weight.detach().abs().max() <= (3 / 4) ** 0.5  # Caffe2's: fan-in alone


def test_one_image_of_one_cell_is_decoded() -> None:
    levels = [torch.randn(1, 4 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(4)]
    decoder = make()
    decoded = decoder(levels)
    assert decoded.sizes == ((1, 1), (2, 2), (4, 4))
    assert decoded.mask_features.isfinite().all()
    twice = decoder([level.repeat(2, 1, 1, 1) for level in levels]).mask_features
    torch.testing.assert_close(twice[:1], decoded.mask_features)
