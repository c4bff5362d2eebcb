import pytest
import torch
from reference import patch_merging, swin_block

from swin_dense import blocks
from swin_dense.blocks import (
    PatchEmbed,
    PatchMerging,
    SwinBlock,
    TokenMaps,
    chunk_tokens,
    permute,
)
from swin_dense.windowing.window_plans import plan_blocks

CPU = torch.device("cpu")


def make_block(*, shifted: bool = True, drop_path: float = 0.0, **changes) -> SwinBlock:
    arguments = {"num_heads": 2, "window_size": 4, "mlp_ratio": 2.0, "qkv_bias": True}
    block = SwinBlock(
        8, shifted=shifted, drop_path=drop_path, activation="gelu", **(arguments | changes)
    )
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


def run(block: SwinBlock, tokens: torch.Tensor) -> torch.Tensor:
    """`(B, H, W, C)` through a block and back into raster order."""
    size = tokens.shape[:3]
    (plan,), back = plan_blocks(
        (tuple(size),),
        [block.order],
        window=block.attn.window_size,
        device=CPU,
        max_tokens=chunk_tokens(tokens.flatten(0, 2)),
        with_image_indices=True,
    )
    return permute(block(tokens.flatten(0, 2), plan), back).unflatten(0, size)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 9), (8, 6)])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_block_matches_the_loop_over_windows(size, shifted, qkv_bias, generator):
    block = make_block(shifted=shifted, qkv_bias=qkv_bias)
    tokens = torch.randn(2, *size, 8, generator=generator)
    expected = torch.stack([swin_block(block, image, shift=2 * shifted) for image in tokens])
    torch.testing.assert_close(run(block, tokens), expected, rtol=1e-4, atol=1e-4)  # float32 sums


def test_inference_in_chunks_matches_one_chunk(monkeypatch, generator):
    block = make_block().eval()
    tokens = torch.randn(2, 13, 10, 8, generator=generator)
    whole = run(block, tokens)
    monkeypatch.setattr(blocks, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(blocks, "_MIN_CHUNK_TOKENS", 40)
    with torch.no_grad():
        assert chunk_tokens(tokens.flatten(0, 2)) == 40
        chunks = run(block, tokens)
    torch.testing.assert_close(chunks, whole, rtol=1e-5, atol=1e-5)  # other shapes of products


def test_training_works_in_one_chunk():
    assert chunk_tokens(torch.zeros(10**6, 8)) is None
    with torch.no_grad():
        assert chunk_tokens(torch.zeros(10**6, 8)) == 2**21 // 32


def test_gradient_reaches_each_parameter_and_the_input(generator):
    block = make_block()
    tokens = torch.randn(1, 6, 5, 8, generator=generator, requires_grad=True)
    run(block, tokens).square().sum().backward()
    for name, parameter in [("tokens", tokens), *block.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient_matches_finite_differences(generator):
    block = make_block().double()
    tokens = torch.randn(1, 5, 6, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: run(block, t), tokens, fast_mode=True)


def test_remembered_bias_follows_the_table():
    block = make_block().eval()
    with torch.no_grad():
        first = block.attn.bias(torch.float32)
        assert block.attn.bias(torch.float32) is first
        block.attn.relative_position_bias_table.add_(1.0)
        second = block.attn.bias(torch.float32)
        torch.testing.assert_close(second, first + 1.0)
        assert block.attn.bias(torch.bfloat16).dtype == torch.bfloat16


def test_drop_path_drops_branches_of_whole_images():
    torch.manual_seed(0)
    block = make_block(drop_path=0.5).train()
    tokens = torch.randn(64, 3, 3, 8)
    untouched = (run(block, tokens) == tokens).flatten(1)
    assert torch.equal(untouched.any(dim=1), untouched.all(dim=1))
    share = untouched.all(dim=1).float().mean().item()
    assert 0.1 < share < 0.4  # both branches dropped: a quarter on average


def test_drop_path_keeps_the_mean():
    torch.manual_seed(0)
    block = make_block(drop_path=0.25)
    tokens = torch.randn(1, 2, 2, 8).expand(4000, -1, -1, -1)
    (plan,), _ = plan_blocks(
        ((4000, 2, 2),),
        ["shifted"],
        window=4,
        device=CPU,
        max_tokens=None,
        with_image_indices=True,
    )
    keep = block.train()._keep(tokens.flatten(0, 2), plan)
    torch.testing.assert_close(keep.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert keep.mean().item() == pytest.approx(1.0, abs=0.03)  # 8000 draws: deviation 0.006


def test_patch_embedding_pads_to_whole_patches(generator):
    embed = PatchEmbed(in_channels=3, embed_dim=8, patch_size=4, patch_norm=True)
    pixels = torch.randn(1, 3, 5, 9, generator=generator)
    padded = torch.nn.functional.pad(pixels, (0, 3, 0, 3))
    (maps,) = embed(pixels).unpack()
    assert maps.shape == (1, 2, 3, 8)
    assert torch.equal(maps, embed(padded).unpack()[0])


@pytest.mark.parametrize("size", [(1, 1), (2, 4), (3, 5)])
def test_patch_merging_matches_the_loop(size, generator):
    merging = PatchMerging(6)
    tokens = torch.randn(*size, 6, generator=generator)
    expected = patch_merging(merging, tokens)
    (merged,) = merging(TokenMaps.pack([tokens[None]])).unpack()
    torch.testing.assert_close(merged[0], expected, rtol=1e-5, atol=1e-6)


def test_maps_of_two_sizes_are_merged_as_each_alone(generator):
    merging = PatchMerging(6)
    maps = [torch.randn(*size, 6, generator=generator) for size in ((2, 3, 5), (1, 4, 1))]
    merged = merging(TokenMaps.pack(maps)).unpack()
    assert [tuple(m.shape) for m in merged] == [(2, 2, 3, 12), (1, 2, 1, 12)]
    for one, alone in zip(merged, maps, strict=True):
        (expected,) = merging(TokenMaps.pack([alone])).unpack()
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
