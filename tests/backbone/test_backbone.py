import dataclasses

import pytest
import torch
from reference import swin_features

import swin_dense as sd

TINY = sd.SwinConfig(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=4)


def make(config: sd.SwinConfig = TINY, **changes) -> sd.SwinTransformer:
    """A backbone whose values are large enough for each of them to matter."""
    torch.manual_seed(0)
    backbone = sd.create_backbone(dataclasses.replace(config, **changes))
    for name, parameter in backbone.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 64), (37, 53), (33, 4)])
def test_features_have_the_promised_shapes(size, generator):
    features = make()(torch.randn(2, 3, *size, generator=generator))
    for feature, channels, stride in zip(features, (8, 16, 32, 64), (4, 8, 16, 32), strict=True):
        assert feature.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        assert feature.is_contiguous()
        assert feature.dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_features_match_the_loops(size, generator):
    backbone = make(depths=(2, 2, 2, 1))
    image = torch.randn(3, *size, generator=generator)
    with torch.no_grad():
        for ours, expected in zip(
            backbone(image[None]), swin_features(backbone, image), strict=True
        ):
            torch.testing.assert_close(ours[0], expected, rtol=1e-4, atol=1e-4)  # float32 sums


def test_an_image_alone_and_in_a_batch_give_the_same(generator):
    backbone = make().eval()
    pixels = torch.randn(3, 3, 45, 61, generator=generator)
    with torch.no_grad():
        together = backbone(pixels)
        for i in range(3):
            for alone, among in zip(backbone(pixels[i : i + 1]), together, strict=True):
                torch.testing.assert_close(alone[0], among[i], rtol=1e-5, atol=1e-5)


def test_no_size_leaves_a_trace(generator):
    backbone = make().eval()
    pixels = torch.randn(1, 3, 50, 40, generator=generator)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    with torch.no_grad():
        before = backbone(pixels)
        for size in [(1, 1), (100, 20), (16, 16)]:
            backbone(torch.randn(1, 3, *size, generator=generator))
        after = backbone(pixels)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())


def test_inference_and_training_mode_give_the_same_without_drop_path(generator):
    backbone = make()
    pixels = torch.randn(1, 3, 60, 60, generator=generator)
    trained = backbone.train()(pixels)
    with torch.inference_mode():
        inferred = backbone.eval()(pixels)
    for a, b in zip(trained, inferred, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_what_inference_mode_remembered_serves_training(generator):
    backbone = make(window_size=5)  # a window and a size that no other test has
    pixels = sd.batch_images([torch.rand(3, 41, 47, generator=generator)], size_divisor=1).pixels
    with torch.inference_mode():
        backbone.eval()(pixels)
    sum(f.square().sum() for f in backbone.train()(pixels)).backward()
    assert backbone.layers[0].blocks[0].attn.relative_position_bias_table.grad is not None


def test_gradient_checkpointing_changes_no_value(generator):
    pixels = torch.randn(1, 3, 40, 40, generator=generator)
    gradients = []
    for checkpointing in (False, True):
        backbone = make(gradient_checkpointing=checkpointing).train()
        sum(f.square().sum() for f in backbone(pixels)).backward()
        gradients.append([p.grad for p in backbone.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_a_compiled_backbone_gives_the_same(generator):
    backbone = make(depths=(2,), num_heads=(1,), out_indices=(0,)).eval()
    # Traced as one graph, as any backend would have it.
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    pixels = torch.randn(2, 3, 30, 41, generator=generator)
    torch.testing.assert_close(compiled(pixels), backbone(pixels), rtol=1e-5, atol=1e-5)


def test_gradient_reaches_each_parameter(generator):
    backbone = make()
    sum(
        f.square().sum() for f in backbone(torch.randn(1, 3, 48, 50, generator=generator))
    ).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_drop_path_rises_linearly_over_the_blocks():
    backbone = sd.create_backbone(
        dataclasses.replace(sd.SWIN_VARIANTS["swin_t"], drop_path_rate=0.2)
    )
    rates = [block.drop_path for stage in backbone.layers for block in stage.blocks]
    assert rates == pytest.approx([0.2 * i / 11 for i in range(12)])


@pytest.mark.parametrize(
    ("stages", "trained"), [(-1, 5), (0, 4), (1, 3), (4, 0)], ids=["none", "patches", "one", "all"]
)
def test_frozen_stages_stay_frozen_with_their_norms(stages, trained):
    backbone = make(frozen_stages=stages)
    parts = [backbone.patch_embed, *backbone.layers]
    moving = [any(p.requires_grad for p in part.parameters()) for part in parts]
    assert moving == [False] * (5 - trained) + [True] * trained
    for i in range(4):
        assert getattr(backbone, f"norm{i}").weight.requires_grad == (i >= stages)


def test_out_indices_choose_the_maps():
    backbone = make(out_indices=(1, 3))
    assert (backbone.channels, backbone.strides) == ((16, 64), (8, 32))
    assert [f.shape[1] for f in backbone(torch.zeros(1, 3, 32, 32))] == [16, 64]
    assert not hasattr(backbone, "norm0")


def test_activation_is_chosen_by_name(generator):
    pixels = torch.randn(1, 3, 32, 32, generator=generator)
    gelu, relu = make(activation="gelu"), make(activation="relu")
    relu.load_state_dict(gelu.state_dict())
    assert not torch.allclose(gelu(pixels)[0], relu(pixels)[0])


@pytest.mark.parametrize(("variant", "published"), [("swin_t", 28_288_354), ("swin_s", 49_606_258)])
def test_variants_have_the_published_number_of_parameters(variant, published):
    with torch.device("meta"):
        backbone = sd.create_backbone(variant)
    classifier = 768 * 1000 + 1000 + 2 * 768  # and its norm
    output_norms = 2 * (96 + 192 + 384 + 768)
    ours = sum(p.numel() for p in backbone.parameters())
    assert ours == published - classifier + output_norms


def test_bfloat16_autocast_stays_near_float32(generator):
    backbone = make().eval()
    pixels = torch.randn(1, 3, 40, 56, generator=generator)
    with torch.no_grad():
        exact = backbone(pixels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = backbone(pixels)
    for a, b in zip(exact, rounded, strict=True):
        assert (a - b).abs().max() < 0.15  # normed maps; bfloat16 has 8 bits, over up to 8 blocks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": (3, 2, 4, 8)}, "divisible by its num_heads, got 8 and 3"),
        ({"num_heads": (1, 2, 4)}, "one number a stage"),
        ({"depths": (2, 0, 2, 2)}, "at least one block a stage"),
        ({"activation": "tanhh"}, "unknown activation 'tanhh'; choose one of gelu"),
        ({"out_indices": (3, 1)}, "out_indices must be increasing stages of 0..3"),
        ({"out_indices": (4,)}, "out_indices must be increasing stages of 0..3"),
        ({"frozen_stages": 5}, "frozen_stages must be in -1..4, got 5"),
        ({"drop_path_rate": 1.0}, "drop_path_rate must be in"),
        ({"window_size": 0}, "window_size must be at least 1"),
    ],
)
def test_config_refuses_what_cannot_be_built(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_unknown_variant_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown variant 'swin_x'; choose one of swin_t, swin_s"):
        sd.create_backbone("swin_x")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(3, 32, 32), r"must be \(B, 3, H, W\).*got \(3, 32, 32\)"),
        (torch.zeros(1, 1, 32, 32), r"must be \(B, 3, H, W\)"),
        (torch.zeros(1, 3, 0, 32), "every side at least 1"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "floating point.*batch_images"),
    ],
)
def test_pixels_of_another_kind_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        make()(pixels)
