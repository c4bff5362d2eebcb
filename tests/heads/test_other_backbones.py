"""Backbones of other kinds under every whole model: train, predict, save, load, inspect."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import swin_dense as sd
from swin_dense.configs import TimmConfig, find_backbone
from swin_dense.tools.commands.inspect_ import inspect_file

pytest.importorskip("timm", reason="needs timm")

MODELS = ("mask_rcnn_swin_t", "cascade_mask_rcnn_swin_t", "upernet_swin_t", "mask2former_swin_t")
SMALL = ("test_convnext", "test_resnet")
LARGE = (
    *("resnet50", "convnext_tiny", "efficientnet_b3", "hrnet_w18", "pvt_v2_b1"),
    "swin_tiny_patch4_window7_224",
)
SIZE = (50, 67)


def make_model(name: str, backbone: str) -> nn.Module:
    torch.manual_seed(0)
    config = sd.heads.MODEL_VARIANTS[name]
    if name.startswith("upernet"):
        config = dataclasses.replace(config, decoder_channels=16, auxiliary_channels=8)
    elif name.startswith("mask2former"):
        widths = {"channels": 64, "encoder_ffn_channels": 32, "decoder_ffn_channels": 32}
        layers = {"encoder_layers": 1, "decoder_layers": 3, "num_points": 64}
        config = dataclasses.replace(config, **widths, **layers)
    else:
        box = dataclasses.replace(config.box, fc_channels=16, conv_channels=16)
        mask = dataclasses.replace(config.mask, num_convs=1, channels=8)
        config = dataclasses.replace(config, fpn_channels=16, box=box, mask=mask)
    return sd.heads.create_model(config, backbone=TimmConfig(name=backbone), num_classes=3)


def target_for(model: nn.Module) -> dict[str, Tensor] | Tensor:
    if model.task == "segmentation":
        return torch.ones(SIZE, dtype=torch.int64)
    masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    masks[0, 5:40, 10:50] = True
    boxes = torch.tensor([[10.0, 5, 50, 40]])
    return {"boxes": boxes, "labels": torch.tensor([1]), "masks": masks}


def check(name: str, backbone: str, tmp_path: Path, generator: torch.Generator) -> None:
    """Losses reach every parameter; the saved model predicts the same."""
    model = make_model(name, backbone)
    images = [torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)] * 2
    losses = model(images, [target_for(model)] * 2)
    sum(losses.values()).backward()
    for parameter_name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    file = tmp_path / "model.safetensors"
    sd.heads.save_model(model, file)
    loaded = sd.heads.from_checkpoint(file)
    assert loaded.config == model.config
    torch.testing.assert_close(
        loaded.predict(images[:1]), model.predict(images[:1]), rtol=0, atol=0
    )
    facts = inspect_file(file)
    assert facts["backbone"]["kind"] == "timm"
    assert facts["backbone"]["name"] == backbone
    assert facts["warnings"] == []


@pytest.mark.parametrize("backbone", SMALL)
@pytest.mark.parametrize("name", MODELS)
def test_any_backbone_trains_saves_and_loads_under_any_head(
    name: str, backbone: str, tmp_path: Path, generator: torch.Generator
) -> None:
    check(name, backbone, tmp_path, generator)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", LARGE)
@pytest.mark.parametrize("name", MODELS)
def test_well_known_backbones_train_save_and_load_under_any_head(
    name: str, backbone: str, tmp_path: Path, generator: torch.Generator
) -> None:
    check(name, backbone, tmp_path, generator)


@pytest.mark.parametrize("backbone", SMALL)
@pytest.mark.parametrize("name", MODELS)
def test_a_result_under_any_backbone_does_not_depend_on_the_batch(
    name: str, backbone: str, generator: torch.Generator
) -> None:
    model = make_model(name, backbone)
    sizes = [(50, 67), (33, 130), (40, 80), (96, 40), (1, 1)]
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    for image, found in zip(images, model.predict(images), strict=True):
        (alone,) = model.predict([image])
        if model.task == "segmentation":
            assert (found == alone).float().mean() >= 0.999
        else:
            assert found["labels"].tolist() == alone["labels"].tolist()
            torch.testing.assert_close(found["scores"], alone["scores"], rtol=0, atol=1e-4)
            torch.testing.assert_close(found["boxes"], alone["boxes"], rtol=0, atol=0.05)


def test_a_backbone_that_cannot_pack_is_given_images_of_one_size_and_trained_on_padded_ones(
    generator: torch.Generator,
) -> None:
    model, seen = make_model("mask_rcnn_swin_t", "test_convnext"), []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    sizes = [(50, 67), (33, 130), (40, 80)]
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    model.train().predict(images)
    assert seen == [(2, 3, 64, 96), (1, 3, 64, 160)]
    seen.clear()
    targets = []
    for size in sizes:
        target = {"boxes": torch.tensor([[10.0, 5, 50, 30]]), "labels": torch.tensor([1])}
        targets.append(target | {"masks": torch.ones(1, *size, dtype=torch.bool)})
    losses = model(images, targets)
    assert seen == [(3, 3, 64, 160)]
    assert all(loss.isfinite() for loss in losses.values())


def test_a_file_says_which_backbone_it_holds_and_asks_for_no_download(tmp_path: Path) -> None:
    model = make_model("upernet_swin_t", "test_convnext")
    pretrained = dataclasses.replace(model.config.backbone, pretrained=True)
    model.config = dataclasses.replace(model.config, backbone=pretrained)
    file = tmp_path / "model.safetensors"
    sd.heads.save_model(model, file)
    with safe_open(file, "pt") as content:
        stored = json.loads(content.metadata()["config"])["backbone"]
    assert stored["kind"] == "timm"
    assert stored["pretrained"] is False


def test_a_kind_of_backbone_that_is_not_known_is_named(tmp_path: Path) -> None:
    model = make_model("upernet_swin_t", "test_convnext")
    file = tmp_path / "model.safetensors"
    sd.heads.save_model(model, file)
    content = file.read_bytes()
    file.write_bytes(content.replace(rb"\"kind\": \"timm\"", rb"\"kind\": \"tomm\""))
    with pytest.raises(ValueError, match=r"unknown kind 'tomm'; known are swin, swin_mlp, timm"):
        sd.heads.from_checkpoint(file)


def test_weights_go_into_the_backbone_alone_too(tmp_path: Path) -> None:
    model = make_model("mask_rcnn_swin_t", "test_convnext")
    file = tmp_path / "model.safetensors"
    sd.heads.save_model(model, file)
    backbone = TimmConfig(name="test_convnext").build()
    report = sd.load_weights(backbone, file)
    assert report.num_loaded == len(backbone.state_dict())
    for value, expected in zip(
        backbone.state_dict().values(), model.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    sd.heads.save_model(make_model("upernet_swin_t", "test_convnext"), file)
    model = make_model("upernet_swin_t", "test_resnet")
    with pytest.raises(ValueError, match=r"does not fit UPerNet on timm test_resnet: .* missing"):
        sd.load_weights(model, file)


def test_backbones_have_names_for_flags() -> None:
    assert find_backbone("swin_s") == sd.SWIN_VARIANTS["swin_s"]
    assert find_backbone("timm:resnet50") == TimmConfig(name="resnet50")
    with pytest.raises(
        ValueError, match=r"unknown backbone 'tim:x'; choose one of swin_t, .*timm:"
    ):
        find_backbone("tim:x")
