"""Our backbone under torchvision's detectors: contract, weights, training, prediction."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import swin_dense as sd

CONFIG = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)
LEVELS = ["0", "1", "2", "3", "pool"]


def build(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return sd.adapters.torchvision_backbone(CONFIG, **{"out_channels": 16} | options).eval()


def tiny_detector(**changes: object) -> nn.Module:
    config = dataclasses.replace(
        sd.heads.MODEL_VARIANTS["mask_rcnn_swin_t"], backbone=CONFIG, num_classes=2, fpn_channels=16
    )
    torch.manual_seed(1)
    return sd.heads.create_model(dataclasses.replace(config, **changes)).eval()


@pytest.mark.parametrize("size", [(1, 1), (37, 65), (64, 96)])
def test_levels_have_torchvisions_names_and_any_size(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    backbone = build()
    levels = backbone(torch.randn(2, 3, *size, generator=generator))
    assert backbone.out_channels == 16
    assert list(levels) == LEVELS
    for level, stride in zip(levels.values(), (4, 8, 16, 32, 64), strict=True):
        expected = [-(-side // stride) for side in size]
        assert level.shape == (2, 16, *expected)


def test_the_body_is_the_bare_backbone(generator: torch.Generator) -> None:
    backbone = build()
    bare = sd.create_backbone(CONFIG, weights=backbone.body.state_dict()).eval()
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    assert all(map(torch.equal, backbone.body(pixels), bare(pixels)))


def test_the_pyramid_reads_the_maps_uncopied(generator: torch.Generator) -> None:
    backbone = build()
    maps, inputs = [], []
    backbone.body.register_forward_hook(lambda *call: maps.extend(call[-1]))
    backbone.fpn.register_forward_pre_hook(lambda module, call: inputs.extend(call[0].values()))
    backbone(torch.randn(1, 3, 37, 65, generator=generator))
    assert all(level is given for level, given in zip(inputs, maps, strict=True))


def test_a_variants_name_gives_256_channels() -> None:
    with torch.device("meta"):
        backbone = sd.adapters.torchvision_backbone("swin_t", weights=None)
        levels = backbone(torch.empty(1, 3, 224, 224))
    assert backbone.out_channels == 256
    assert [tuple(level.shape) for level in levels.values()] == [
        (1, 256, side, side) for side in (56, 28, 14, 7, 4)
    ]


def test_a_detectors_file_fills_backbone_and_pyramid(
    tmp_path: Path, generator: torch.Generator
) -> None:
    detector = tiny_detector()
    sd.heads.save_model(detector, tmp_path / "detector.safetensors")
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    with torch.no_grad():
        expected = detector.neck(detector.backbone(pixels))
        for weights in (tmp_path / "detector.safetensors", detector.state_dict()):
            found = build(weights=weights)(pixels)
            for level, ours in zip(found.values(), expected, strict=True):
                # The convolutions of our own neck add up in another order.
                torch.testing.assert_close(level, ours, rtol=1e-5, atol=1e-5)


def test_a_backbones_weights_fill_the_backbone_alone() -> None:
    bare = sd.create_backbone(CONFIG)
    backbone = build(weights=bare.state_dict())
    for key, value in bare.state_dict().items():
        assert torch.equal(backbone.body.state_dict()[key], value)


def test_a_pyramid_of_another_width_is_refused(tmp_path: Path) -> None:
    sd.heads.save_model(tiny_detector(), tmp_path / "detector.safetensors")
    with pytest.raises(
        ValueError, match=r"FPN of 4 levels and 8 channels: .* instead of"
    ) as caught:
        build(weights=tmp_path / "detector.safetensors", out_channels=8)
    assert "\n" not in str(caught.value)


def test_levels_three_to_seven_are_a_matter_of_config(generator: torch.Generator) -> None:
    backbone = sd.adapters.torchvision_backbone(
        dataclasses.replace(CONFIG, out_indices=(1, 2, 3)),
        out_channels=16,
        extra_blocks=LastLevelP6P7(16, 16),
    )
    levels = backbone(torch.randn(1, 3, 64, 64, generator=generator))
    assert list(levels) == ["0", "1", "2", "p6", "p7"]
    assert [level.shape[-1] for level in levels.values()] == [8, 4, 2, 1, 1]


def test_a_backbone_of_timm_can_stand_in(generator: torch.Generator) -> None:
    pytest.importorskip("timm", reason="needs timm")
    backbone = sd.adapters.torchvision_backbone(sd.TimmConfig(name="test_convnext"), weights=None)
    assert list(backbone(torch.randn(1, 3, 40, 40, generator=generator))) == LEVELS


def test_tracers_find_the_levels_in_it(generator: torch.Generator) -> None:
    backbone = build()
    extractor = create_feature_extractor(backbone, {"body.norm1": "maps"}).eval()
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    assert torch.equal(extractor(pixels)["maps"], backbone.body(pixels)[1])


def small_anchors(detector: Callable[..., nn.Module]) -> dict[str, object]:
    """Options that keep a step small."""
    options: dict[str, object] = {"min_size": 64, "max_size": 96}
    if detector in (FasterRCNN, MaskRCNN):
        options |= {"rpn_pre_nms_top_n_train": 50, "rpn_post_nms_top_n_train": 20}
        options |= {"rpn_post_nms_top_n_test": 20, "box_batch_size_per_image": 16}
    return options


@pytest.mark.parametrize("detector", [MaskRCNN, FasterRCNN, RetinaNet, FCOS])
def test_a_detector_trains_a_step_and_predicts(
    detector: Callable[..., nn.Module], generator: torch.Generator
) -> None:
    model = detector(build(out_channels=32), num_classes=3, **small_anchors(detector)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images, targets = [], []
    for height, width in ((50, 70), (64, 48)):
        images.append(torch.rand(3, height, width, generator=generator))
        masks = torch.zeros(1, height, width, dtype=torch.uint8)
        masks[:, 10:30, 12:40] = 1
        box: Tensor = torch.tensor([[12.0, 10.0, 40.0, 30.0]])
        targets.append({"boxes": box, "labels": torch.tensor([1]), "masks": masks})
    before = [parameter.clone() for parameter in model.backbone.parameters()]
    losses = model(images, targets)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    optimizer.step()
    after = list(model.backbone.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    model.eval()
    with torch.no_grad():
        for size in ((50, 70), (33, 97)):
            (found,) = model([torch.rand(3, *size, generator=generator)])
            assert found["boxes"].shape == (len(found["scores"]), 4)
            if detector is MaskRCNN:
                assert found["masks"].shape[1:] == (1, *size)
