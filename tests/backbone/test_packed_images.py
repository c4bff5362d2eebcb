"""Images of different sizes in one pass: a batch changes nothing."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import swin_features

import swin_dense as sd

TINY = sd.SwinConfig(
    embed_dim=4, depths=(2, 1), num_heads=(1, 2), window_size=3, out_indices=(0, 1)
)
SIZES = [(33, 20), (10, 64), (64, 64), (1, 1), (10, 64)]
SIDES = st.integers(1, 130)
# Sums of a matrix product may be taken in another order where it has other rows.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def make_backbone(config: sd.SwinConfig = TINY, *, seed: int = 0) -> sd.SwinTransformer:
    torch.manual_seed(seed)
    backbone = config.build()
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


def make_batch(sizes, *, size_divisor: int = 32, seed: int = 0) -> sd.ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    return sd.batch_images(images, size_divisor=size_divisor)


def alone(batch: sd.ImageBatch, index: int) -> torch.Tensor:
    """One image, padded by itself: `(1, 3, h, w)`."""
    height, width = batch.padded_sizes[index]
    return batch.pixels[index : index + 1, :, :height, :width]


def assert_each_is_what_it_gives_alone(backbone, batch):
    packed = backbone(batch)
    for level, (maps, stride) in enumerate(zip(packed, backbone.strides, strict=True)):
        height, width = batch.pixels.shape[-2:]
        assert maps.shape[-2:] == (-(-height // stride), -(-width // stride))
        assert maps.is_contiguous()
        for index in range(len(batch)):
            single = backbone(alone(batch, index))[level][0]
            h, w = single.shape[-2:]
            torch.testing.assert_close(maps[index, :, :h, :w], single, **CLOSE)
            assert not maps[index, :, h:].any()
            assert not maps[index, :, :, w:].any()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6),
    window=st.integers(1, 8),
    size_divisor=st.sampled_from([1, 4, 32]),
    depths=st.sampled_from([(2, 1), (1, 2)]),
)
@torch.no_grad()
def test_packed_images_equal_single_images(sizes, window, size_divisor, depths):
    backbone = make_backbone(replace(TINY, window_size=window, depths=depths))
    batch = make_batch(sizes, size_divisor=size_divisor)
    assert_each_is_what_it_gives_alone(backbone, batch)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4))
@torch.no_grad()
def test_packed_images_equal_the_loop_over_windows(sizes):
    backbone = make_backbone()
    batch = make_batch(sizes, size_divisor=1)
    packed = backbone(batch)
    for index, image in enumerate(batch):
        for maps, expected in zip(packed, swin_features(backbone, image), strict=True):
            h, w = expected.shape[-2:]
            torch.testing.assert_close(maps[index, :, :h, :w], expected, **CLOSE)


def test_gradients_are_the_sums_over_single_images():
    backbone, other = make_backbone(), make_backbone()
    batch = make_batch(SIZES)
    sum(maps.square().sum() for maps in backbone(batch)).backward()
    for index in range(len(batch)):
        sum(maps.square().sum() for maps in other(alone(batch, index))).backward()
    for one, expected in zip(backbone.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, expected.grad, rtol=1e-4, atol=1e-4)


def test_checkpointed_training_gives_the_same_maps_and_gradients():
    plain = make_backbone().train()
    saving = make_backbone(replace(TINY, gradient_checkpointing=True)).train()
    batch = make_batch(SIZES)
    for backbone in (plain, saving):
        sum(maps.square().sum() for maps in backbone(batch)).backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_drop_path_drops_branches_of_whole_images():
    config = replace(TINY, depths=(2,), num_heads=(1,), out_indices=(0,), drop_path_rate=0.9)
    backbone = make_backbone(config).train()
    first, _ = backbone.layers[0].blocks  # its rate is 0: silenced, so that the second's is seen
    for layer in (first.attn.proj, first.mlp.fc2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    batch = make_batch(SIZES * 8)
    (maps,) = backbone(batch)
    untouched = []
    for index in range(len(batch)):
        (maps_of_one,) = backbone.patch_embed(alone(batch, index)).unpack()
        embedded = backbone.norm0(maps_of_one)[0]
        h, w = embedded.shape[-2:]
        same = torch.isclose(maps[index, :, :h, :w], embedded, atol=1e-5).all(dim=0)
        assert same.all() or not same.any()
        untouched.append(bool(same.all()))
    assert 0.5 < sum(untouched) / len(untouched) < 1.0  # both branches dropped: 0.81 on average


def test_a_batch_of_one_size_is_one_group_and_equal_to_its_pixels():
    backbone = make_backbone()
    batch = make_batch([(40, 50), (64, 33)])
    assert [group.indices for group in batch.size_groups] == [(0, 1)]
    for maps, expected in zip(backbone(batch), backbone(batch.pixels), strict=True):
        assert torch.equal(maps, expected)


def test_groups_come_in_the_order_in_which_their_sizes_first_occur():
    backbone = make_backbone()
    batch = make_batch(SIZES, size_divisor=4)
    groups = batch.size_groups
    assert [group.indices for group in groups] == [(0,), (1, 4), (2,), (3,)]
    assert [group.size for group in groups] == [(36, 20), (12, 64), (64, 64), (4, 4)]
    for group, pyramid in zip(groups, backbone.group_pyramids(batch), strict=True):
        for maps, expected in zip(pyramid, backbone(batch.group_pixels(group)), strict=True):
            torch.testing.assert_close(maps, expected, **CLOSE)


def test_sizes_that_are_declared_equal_are_worked_on_as_they_are_padded():
    backbone = make_backbone()
    ragged = make_batch(SIZES)
    declared = sd.ImageBatch(ragged.pixels, ((64, 64),) * len(ragged))
    for maps, expected in zip(backbone(declared), backbone(ragged.pixels), strict=True):
        assert torch.equal(maps, expected)


def test_compiled_backbone_takes_images_of_different_sizes():
    backbone = make_backbone()
    batch = make_batch(SIZES[:3])
    with torch.no_grad():
        expected = backbone(batch)
        compiled = torch.compile(backbone, backend="eager")(batch)
    for one, other in zip(compiled, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_a_batch_of_other_channels_is_refused():
    backbone = make_backbone()
    batch = sd.ImageBatch(torch.zeros(1, 4, 32, 32), ((32, 32),))
    with pytest.raises(ValueError, match=r"pixels must be \(B, 3, H, W\)"):
        backbone(batch)


def test_pixels_of_a_group_are_a_view_where_its_images_follow_each_other():
    batch = make_batch([(32, 32), (32, 40), (32, 50), (32, 30)])
    first, second = batch.size_groups
    assert first.indices == (0, 3)
    assert second.indices == (1, 2)
    assert batch.group_pixels(second).data_ptr() == batch.pixels[1].data_ptr()
    assert torch.equal(batch.group_pixels(first), F.pad(batch.pixels[::3, :, :32, :32], (0, 0)))
