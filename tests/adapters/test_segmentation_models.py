"""Our encoder in segmentation_models_pytorch: its decoders train, some at odd sizes."""

import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="needs timm")
smp = pytest.importorskip("segmentation_models_pytorch", reason="needs it")
pytest.importorskip("swin_dense.adapters.timm_models")

TINY = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 2}
DPT = {"decoder_readout": "ignore"}


def build(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    model = getattr(smp, name)
    return model("tu-swin_dense_t", encoder_weights=None, classes=2, **TINY, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("Unet", "UnetPlusPlus", "FPN", "UPerNet", "MAnet", "Linknet")),
        *((name, {}) for name in ("PSPNet", "Segformer")),
        ("DPT", DPT),
    ],
)
def test_a_decoder_trains_a_step(name: str, options: dict, generator: torch.Generator) -> None:
    model = build(name, **options).train()
    pixels = torch.randn(2, 3, 64, 96, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(model(pixels), torch.ones(2, 64, 96, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss)
    trained = {key for key, value in model.named_parameters() if value.grad is not None}
    assert any("layers.1.blocks.0.attn.qkv.weight" in key for key in trained)
    before = [value.clone() for value in model.encoder.parameters()]
    optimizer.step()
    assert not all(map(torch.equal, before, model.encoder.parameters()))


def test_pan_stands_on_a_stride_of_32(generator: torch.Generator) -> None:
    model = build("PAN", encoder_output_stride=32).train()
    logits = model(torch.randn(2, 3, 256, 256, generator=generator))
    assert logits.shape == (2, 2, 256, 256)
    logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_encoders_maps_are_the_bare_backbones(generator: torch.Generator) -> None:
    model = build("Unet").eval()
    encoder = model.encoder
    assert encoder.out_channels == [3, 0, 8, 16, 32, 64]
    backbone = encoder.model.model
    pixels = torch.randn(1, 3, 64, 96, generator=generator)
    maps = encoder(pixels)
    assert maps[0] is pixels
    assert all(map(torch.equal, maps[2:], super(type(backbone), backbone).forward(pixels)))


@pytest.mark.parametrize("name", ["Unet", "UPerNet", "PSPNet", "Segformer"])
@pytest.mark.parametrize("size", [(37, 65), (101, 33)])
def test_odd_sizes_go_through_without_the_check(
    name: str, size: tuple[int, int], generator: torch.Generator
) -> None:
    model = build(name).eval()
    pixels = torch.randn(1, 3, *size, generator=generator)
    if name != "Unet":  # which takes them as they are
        with pytest.raises(RuntimeError, match="divisible"):
            model(pixels)
    model.requires_divisible_input_shape = False
    with torch.no_grad():
        logits = model(pixels)
    assert logits.shape[:2] == (1, 2)
    if name == "Unet":  # the others give multiples of their finest map
        assert logits.shape[2:] == size


def test_an_image_may_have_other_channels(generator: torch.Generator) -> None:
    model = build("Unet", in_channels=5).eval()
    assert model(torch.randn(1, 5, 32, 32, generator=generator)).shape == (1, 2, 32, 32)


def test_a_shallower_encoder_drops_its_last_stages() -> None:
    model = build("Unet", encoder_depth=4, decoder_channels=(32, 16, 8, 4))
    assert model.encoder.out_channels == [3, 0, 8, 16, 32]
    assert not any("layers.3" in key for key in model.state_dict())


def test_dilated_decoders_are_refused() -> None:
    with pytest.raises(ValueError, match=r"output_stride must be 32 .* got 16"):
        build("DeepLabV3Plus")
