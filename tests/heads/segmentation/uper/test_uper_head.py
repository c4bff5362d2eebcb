"""UPerNet's decoder by hand, and against Hugging Face's whole model."""

import pytest
import torch
import torch.nn.functional as F
from uper_heads import make_head, make_pyramid

import swin_dense as sd
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.uper_head import UPerHead
from swin_dense.heads.segmentation.uper.upernet import UPerNet


def test_levels_are_added_from_coarse_to_fine_and_joined_by_hand() -> None:
    # One channel, and every convolution passes the sum of its channels on.
    head = UPerHead((1, 1), 2, channels=1, pool_scales=(1,), dropout=0.0).eval()
    for layer in head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.zeros_(layer.weight)
            layer.weight.data[:, :, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0
    torch.nn.init.constant_(head.conv_seg.weight, 1)
    fine, coarse = torch.full((1, 1, 4, 6), 2.0), torch.full((1, 1, 2, 3), 5.0)
    # Pooling adds the mean: 5 + 5. The finest is 2 + 10; joined with 10 that is 22.
    for fast in (True, False):
        head.fast = fast
        torch.testing.assert_close(head([fine, coarse]), torch.full((1, 2, 4, 6), 22.0))


def test_batch_equals_singles(generator):
    head, pyramid = make_head(), make_pyramid(generator, batch=2)
    with torch.no_grad():
        both = head(pyramid)
        for i in range(2):
            single = head([maps[i : i + 1] for maps in pyramid])
            torch.testing.assert_close(single[0], both[i], rtol=1e-4, atol=1e-5)


def test_one_cell_levels_are_decoded(generator):
    head, pyramid = make_head(), make_pyramid(generator, size=(1, 1))
    assert head(pyramid).shape == (1, 5, 1, 1)


def test_gradient_reaches_every_parameter(generator):
    head = make_head(dropout=0.0).train()
    head(make_pyramid(generator, batch=2)).square().sum().backward()
    missing = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_keys_are_the_published_ones():
    keys = {key.rsplit(".", 1)[0] for key in make_head().state_dict()}
    layers = [f"psp_modules.{i}.1" for i in range(4)]
    layers += [f"{group}.{i}" for group in ("lateral_convs", "fpn_convs") for i in range(3)]
    layers += ["bottleneck", "fpn_bottleneck"]
    assert keys == {f"{layer}.{part}" for layer in layers for part in ("conv", "bn")} | {"conv_seg"}


def test_a_single_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels, got"):
        UPerHead((4,), 5, channels=8, pool_scales=(1,), dropout=0.0)


@pytest.fixture(scope="module")
def pair() -> tuple[UPerNet, torch.nn.Module]:
    """Our segmentor and Hugging Face's with the same random weights."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch.manual_seed(0)
    theirs = transformers.UperNetForSemanticSegmentation(
        transformers.UperNetConfig(
            backbone_config=transformers.SwinConfig(
                embed_dim=16,
                depths=[1, 1, 2, 1],
                num_heads=[1, 2, 4, 8],
                drop_path_rate=0.0,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            hidden_size=32,
            auxiliary_in_channels=64,
            auxiliary_channels=16,
            num_labels=7,
        )
    ).eval()
    for name, tensor in [*theirs.named_parameters(), *theirs.named_buffers()]:
        if ("bias" in name and tensor.is_floating_point()) or "running_mean" in name:
            torch.nn.init.normal_(tensor, std=0.3)
        elif "running_var" in name:
            torch.nn.init.uniform_(tensor, 0.5, 2)
    ours = UPerNet(
        UPerNetConfig(
            backbone=sd.SwinConfig(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8)),
            num_classes=7,
            decoder_channels=32,
            auxiliary_channels=16,
        )
    )
    sd.load_weights(ours, theirs.state_dict())
    return ours.eval(), theirs


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
@pytest.mark.parametrize("size", [(512, 512), (333, 517)], ids=str)
def test_logits_equal_the_independent_implementation(pair, size, fast, generator):
    ours, theirs = pair
    pixels = torch.randn(1, 3, *size, generator=generator)
    with torch.no_grad():
        expected = theirs(pixels).logits
        features = ours.backbone(pixels)
        ours.decode_head.fast = fast
        logits = ours.decode_head(features)
    logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
