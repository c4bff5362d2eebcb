"""U-Net: parity with segmentation_models_pytorch; what all models share is in `test_models.py`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from swin_dense.configs import SwinConfig
from swin_dense.heads import UNet, UNetConfig, create_model, from_checkpoint
from swin_dense.heads.checkpoints import find_kind, save_model
from swin_dense.heads.segmentation.unet.unet_head import UNetHead

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)
_CONFIG = UNetConfig(backbone=_BACKBONE, num_classes=3, decoder_channels=(16, 12, 8, 6, 4))


def _features(size: tuple[int, int], generator: torch.Generator) -> list[Tensor]:
    """Levels of strides 4 to 32."""
    return [
        torch.randn(2, 8 * 2**i, -(-size[0] // s), -(-size[1] // s), generator=generator)
        for i, s in enumerate((4, 8, 16, 32))
    ]


def _reference(head: UNetHead, features: list[Tensor]) -> Tensor:
    """segmentation_models_pytorch's decoder and head with the same weights."""
    pytest.importorskip("segmentation_models_pytorch", reason="needs segmentation_models_pytorch")
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    decoder = UnetDecoder(
        encoder_channels=(3, 0, 8, 16, 32, 64), decoder_channels=(16, 12, 8, 6, 4), n_blocks=5
    )
    state = decoder.state_dict()
    for i, block in enumerate(head.blocks):
        for j, conv in enumerate(block.convs, start=1):
            for name, value in conv.conv.state_dict().items():
                state[f"blocks.{i}.conv{j}.0.{name}"] = value
            for name, value in conv.bn.state_dict().items():
                state[f"blocks.{i}.conv{j}.1.{name}"] = value
    decoder.load_state_dict(state)
    decoder.eval()
    height, width = (4 * side for side in features[0].shape[-2:])
    image = torch.zeros(2, 3, height, width)
    nothing = torch.zeros(2, 0, height // 2, width // 2)
    with torch.no_grad():
        maps: Tensor = decoder([image, nothing, *features])
        return nn.functional.conv2d(maps, head.conv_seg.weight, head.conv_seg.bias, padding=1)


@pytest.mark.parametrize("size", [(64, 96), (44, 100)])
def test_logits_are_those_of_segmentation_models_pytorch(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    head = UNetHead((8, 16, 32, 64), 3, channels=(16, 12, 8, 6, 4)).eval()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.2)
    features = _features(size, generator)
    with torch.no_grad():
        found = head(features)
    assert found.shape == (2, 3, *size)
    torch.testing.assert_close(found, _reference(head, features), rtol=1e-5, atol=1e-5)


def test_the_architecture_is_read_off_the_weights(tmp_path: Path) -> None:
    model = create_model(_CONFIG)
    spec = find_kind(model.state_dict())
    assert spec is not None
    assert spec.name == "unet"
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    save_model(model, tmp_path / "ours.safetensors")
    for name in ("plain.pth", "ours.safetensors"):
        read = from_checkpoint(tmp_path / name)
        assert isinstance(read, UNet)
        assert read.config == _CONFIG


def test_windows_and_scales_are_predicted(generator: torch.Generator) -> None:
    model = create_model(_CONFIG).eval()
    image = torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8, generator=generator)
    (found,) = model.predict([image], mode="slide", crop=(48, 48), stride=(32, 32))
    assert found.shape == (70, 90)
    assert model.predict_multi_scale([image], original_size=(70, 90)).shape == (70, 90)


def test_other_backbones_stand_under_it(generator: torch.Generator) -> None:
    pytest.importorskip("timm", reason="needs timm")
    from swin_dense.configs import TimmConfig

    model = create_model(_CONFIG, backbone=TimmConfig(name="resnet10t")).eval()
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
    assert model.predict([image])[0].shape == (64, 64)


def test_blocks_that_do_not_lead_to_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 5 for 4 levels from stride 4 px on, got 3"):
        create_model(replace(_CONFIG, decoder_channels=(8, 8, 8)))
    with pytest.raises(ValueError, match="decoder_channels must be positive"):
        replace(_CONFIG, decoder_channels=(8, 0))
    with pytest.raises(ValueError, match=r"num_classes must be in 1\.\.255, got 256"):
        replace(_CONFIG, num_classes=256)
