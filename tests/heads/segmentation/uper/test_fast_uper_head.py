"""The fast decoder against the figure of the paper, in values and gradients."""

import pytest
import torch
from torch import Tensor
from uper_heads import make_head, make_pyramid

from swin_dense.heads.segmentation.uper.fast_uper_head import decode_fast
from swin_dense.heads.segmentation.uper.uper_head import UPerHead

SIZES = [(37, 26), (32, 48), (1, 1), (5, 64), (63, 2)]


def decode_plainly(head: UPerHead, features: list[Tensor]) -> Tensor:
    """The logits of `UPerHead.forward` as the figure is drawn."""
    head.fast = False
    try:
        return head(features)
    finally:
        head.fast = True


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_logits_equal_the_figure_with_and_without_gradients(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    head, pyramid = make_head(), make_pyramid(generator, batch=2, size=size)
    expected = decode_plainly(head, pyramid)
    assert expected.shape == (2, 5, *size)
    torch.testing.assert_close(decode_fast(head, pyramid), expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():  # normalisations are folded
        torch.testing.assert_close(decode_fast(head, pyramid), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(150, 130), (4, 17000), (300, 55)], ids=str)
def test_strips_of_large_maps_give_the_same_logits(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    head, pyramid = make_head(), make_pyramid(generator, size=size)
    with torch.no_grad():
        expected = decode_plainly(head, pyramid)
        torch.testing.assert_close(decode_fast(head, pyramid), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(37, 26), (32, 48), (5, 64)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_those_of_the_figure(
    size: tuple[int, int], training: bool, generator: torch.Generator
) -> None:
    head = make_head(dropout=0.0).double().train(training)
    pyramid = make_pyramid(generator, batch=2, size=size, dtype=torch.float64)
    leaves = [maps.requires_grad_() for maps in pyramid]
    weights = torch.randn(2, 5, *size, generator=generator, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((decode(head, leaves) * weights).sum(), [*leaves, *head.parameters()])
        for decode in (decode_fast, decode_plainly)
    ]
    # The matrices of the resizing are computed in float32 (`interpolation_matrix`).
    for fast, plain in zip(*gradients, strict=True):
        assert (fast - plain).abs().max() <= 1e-5 * plain.abs().max().clamp(min=1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_logits_of_another_float_type_equal_the_figure(
    dtype: torch.dtype, generator: torch.Generator
) -> None:
    head = make_head().to(dtype)
    pyramid = make_pyramid(generator, dtype=dtype)
    # Relative to the largest: 8 bits of bfloat16 over six layers; float32 matrices in float64.
    bound = {torch.bfloat16: 0.05, torch.float64: 1e-5}[dtype]
    with torch.no_grad():
        fast, plain = decode_fast(head, pyramid), decode_plainly(head, pyramid)
    assert fast.dtype == plain.dtype == dtype
    assert (fast - plain).abs().max() <= bound * plain.abs().max()


def test_the_head_decodes_fast_unless_it_is_set_otherwise(generator: torch.Generator) -> None:
    head, pyramid = make_head(), make_pyramid(generator)
    with torch.no_grad():
        assert torch.equal(head(pyramid), decode_fast(head, pyramid))
