"""UPerNet's decoder against the figure of the paper, and against Hugging Face's whole model."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import swin_dense as sd
from swin_dense.heads.segmentation import uper_head
from swin_dense.heads.segmentation.uper_head import UPerHead
from swin_dense.heads.segmentation.upernet import UPerNet, UPerNetConfig

CHANNELS = (4, 6, 8, 10)


def make_head(**options) -> UPerHead:
    torch.manual_seed(0)
    head = UPerHead(CHANNELS, 5, channels=8, **options)
    pyramid = make_pyramid(torch.Generator().manual_seed(1), batch=2)
    for _ in range(3):
        head(pyramid)  # gives the normalisations statistics
    return head.eval()


def make_pyramid(generator: torch.Generator, *, batch: int = 1, size=(37, 26)) -> list[Tensor]:
    return [
        torch.randn(batch, c, -(-size[0] // 2**i), -(-size[1] // 2**i), generator=generator)
        for i, c in enumerate(CHANNELS)
    ]


def decode_plainly(head: UPerHead, features: list[Tensor]) -> Tensor:
    """The decoder as the paper draws it: resize all levels, join them, convolve."""

    def to_size_of(maps: Tensor, other: Tensor) -> Tensor:
        return F.interpolate(maps, other.shape[-2:], mode="bilinear", align_corners=False)

    pooled = [to_size_of(module(features[-1]), features[-1]) for module in head.psp_modules]
    laterals = [conv(maps) for conv, maps in zip(head.lateral_convs, features[:-1], strict=True)]
    laterals.append(head.bottleneck(torch.cat([features[-1], *pooled], dim=1)))
    for i in reversed(range(len(laterals) - 1)):
        laterals[i] = laterals[i] + to_size_of(laterals[i + 1], laterals[i])
    outputs = [conv(maps) for conv, maps in zip(head.fpn_convs, laterals[:-1], strict=True)]
    joined = [to_size_of(maps, features[0]) for maps in [*outputs, laterals[-1]]]
    return head.conv_seg(head.fpn_bottleneck(torch.cat(joined, dim=1)))


def test_logits_equal_the_plain_decoder(generator):
    head, pyramid = make_head(), make_pyramid(generator, batch=2)
    expected = decode_plainly(head, pyramid)
    assert expected.shape == (2, 5, 37, 26)
    torch.testing.assert_close(head(pyramid), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cells", [1, 26 * 5, 26 * 36])
def test_strips_give_the_same_logits(cells, generator, monkeypatch):
    head, pyramid = make_head(), make_pyramid(generator, batch=2)
    expected = decode_plainly(head, pyramid)
    monkeypatch.setattr(uper_head, "_CELLS_AT_A_TIME", cells)
    with torch.no_grad():
        torch.testing.assert_close(head(pyramid), expected, rtol=1e-4, atol=1e-4)


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
    keys = {key.rsplit(".", 1)[0] for key in UPerHead(CHANNELS, 5).state_dict()}
    layers = [f"psp_modules.{i}.1" for i in range(4)]
    layers += [f"{group}.{i}" for group in ("lateral_convs", "fpn_convs") for i in range(3)]
    layers += ["bottleneck", "fpn_bottleneck"]
    assert keys == {f"{layer}.{part}" for layer in layers for part in ("conv", "bn")} | {"conv_seg"}


def test_a_single_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels, got"):
        UPerHead((4,), 5)


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


@pytest.mark.parametrize("size", [(512, 512), (333, 517)], ids=str)
def test_logits_equal_the_independent_implementation(pair, size, generator):
    ours, theirs = pair
    pixels = torch.randn(1, 3, *size, generator=generator)
    with torch.no_grad():
        expected = theirs(pixels).logits
        found = ours.decode_head(ours.backbone(pixels))
    found = F.interpolate(found, size, mode="bilinear", align_corners=False)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
