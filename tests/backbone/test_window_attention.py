"""The bias of window attention: kept in inference, in rows that the fused kernels read."""

import torch

from swin_dense.windowing.window_attention import WindowAttention, aligned_rows


def make_attention() -> WindowAttention:
    torch.manual_seed(0)
    return WindowAttention(8, num_heads=2, window_size=4, shifted=True, qkv_bias=True)


def test_a_cached_bias_is_dropped_when_the_mode_is_set():
    attention = make_attention().eval()
    with torch.no_grad():
        first = attention.bias(torch.float32)
        attention.relative_position_bias_table.data.add_(1.0)  # leaves no trace in the version
        attention.eval()
        torch.testing.assert_close(attention.bias(torch.float32), first + 1.0)


def test_inference_bias_takes_the_fused_attention():
    # The fused CPU kernel refuses a mask that requires grad.
    attention = make_attention().eval()
    with torch.no_grad():
        assert not attention.bias(torch.float32).requires_grad


def test_aligned_rows_keep_the_values_and_start_at_multiples_of_eight(generator):
    bias = torch.randn(4, 3, 49, 49, generator=generator)
    aligned = aligned_rows(bias)
    assert torch.equal(aligned, bias)
    assert aligned.stride(-2) % 8 == 0
