"""Swin-MLP as a backbone: against loops, images of any sizes, what is trained and frozen."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from reference import swin_features
from torch import nn

import swin_dense as sd

TINY = sd.SwinMLPConfig(
    embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=3, out_indices=(0, 1)
)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # sums in another order


def make(**changes: Any) -> sd.SwinMLP:
    """A backbone whose values are large enough for each of them to matter."""
    torch.manual_seed(0)
    backbone = sd.create_backbone(replace(TINY, **changes))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone


@pytest.mark.parametrize("size", [(24, 48), (1, 1), (37, 53), (12, 60)])
def test_features_match_the_loops(size: tuple[int, int], generator: torch.Generator) -> None:
    backbone = make().eval()
    image = torch.randn(3, *size, generator=generator)
    with torch.no_grad():
        expected = swin_features(backbone, image)
        for ours, theirs in zip(backbone(image[None]), expected, strict=True):
            torch.testing.assert_close(ours[0], theirs, **CLOSE)


def test_narrow_maps_are_shifted_where_that_is_asked_for(generator: torch.Generator) -> None:
    image = torch.randn(3, 12, 30, generator=generator)  # 3 x 8 tokens: as high as a window
    features = []
    for shifted in (False, True):
        backbone = make(shift_narrow_maps=shifted).eval()
        with torch.no_grad():
            expected = swin_features(backbone, image)
            features.append(backbone(image[None]))
        torch.testing.assert_close(features[-1][0][0], expected[0], **CLOSE)
    assert not torch.allclose(features[0][0], features[1][0], atol=1e-3)


@torch.no_grad()
def test_images_of_different_sizes_in_one_pass_are_what_they_are_alone(
    generator: torch.Generator,
) -> None:
    backbone = make().eval()
    sizes = [(33, 20), (10, 64), (64, 64), (1, 1), (10, 64)]
    images = [torch.randint(0, 256, (3, *s), dtype=torch.uint8, generator=generator) for s in sizes]
    batch = sd.batch_images(images, size_divisor=1)
    packed = backbone(batch)
    for index, (height, width) in enumerate(sizes):
        alone = backbone(batch.pixels[index : index + 1, :, :height, :width])
        for maps, single in zip(packed, alone, strict=True):
            h, w = single.shape[-2:]
            torch.testing.assert_close(maps[index, :, :h, :w], single[0], **CLOSE)
            assert not maps[index, :, h:].any()


def test_training_and_inference_give_the_same(generator: torch.Generator) -> None:
    backbone = make()
    pixels = torch.randn(2, 3, 60, 70, generator=generator)
    trained = backbone.train()(pixels)
    with torch.inference_mode():
        for inferred, expected in zip(backbone.eval()(pixels), trained, strict=True):
            torch.testing.assert_close(inferred, expected, **CLOSE)


def test_gradients_reach_each_parameter_and_survive_checkpointing(
    generator: torch.Generator,
) -> None:
    pixels = torch.randn(1, 3, 40, 50, generator=generator)
    gradients = []
    for checkpointing in (False, True):
        backbone = make(gradient_checkpointing=checkpointing).train()
        sum(maps.square().sum() for maps in backbone(pixels)).backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain.abs().sum() > 0
        assert torch.equal(plain, checkpointed)


def test_drop_path_drops_whole_images() -> None:
    backbone = make(drop_path_rate=0.9, depths=(2,), num_heads=(2,), out_indices=(0,)).train()
    (maps,) = backbone(torch.randn(1, 3, 8, 8).expand(32, 3, 8, 8))
    kinds = torch.unique(maps.detach().flatten(1).round(decimals=3), dim=0)
    assert 2 <= len(kinds) <= 4  # of the second block neither branch, one, the other, or both


def test_frozen_stages_stay_frozen() -> None:
    backbone = make(frozen_stages=1)
    moving = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert moving
    assert all(name.startswith(("layers.1.", "norm1.")) for name in moving)
    assert len(backbone.blocks()) == 4


@pytest.mark.parametrize("size", [(1, 1), (12, 12), (24, 25), (29, 31), (40, 7), (61, 83)])
def test_the_traced_way_gives_what_the_planned_way_gives(
    size: tuple[int, int], generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes in ({}, {"shift_narrow_maps": True}):
        backbone = make(**changes).eval()
        pixels = torch.randn(2, 3, *size, generator=generator)
        with torch.no_grad(), monkeypatch.context() as patch:
            planned = backbone(pixels)
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            for maps, expected in zip(backbone(pixels), planned, strict=True):
                torch.testing.assert_close(maps, expected, **CLOSE)


@pytest.mark.parametrize(
    ("variant", "published"),
    [
        ("swin_mixer_t_d24", 20_386_632),
        ("swin_mixer_t_d12", 21_152_072),
        ("swin_mixer_t_d6", 22_682_952),
        ("swin_mixer_b_d24", 60_659_416),
    ],
)
def test_variants_have_the_published_number_of_parameters(variant: str, published: int) -> None:
    with torch.device("meta"):
        model = sd.heads.create_model(f"classifier_{variant}")
    assert sum(parameter.numel() for parameter in model.parameters()) == published
    assert model.config.backbone.title == variant
    assert model.config.view.crop == 32 * model.config.backbone.window_size


def test_logits_are_those_of_the_published_forward(generator: torch.Generator) -> None:
    backbone = replace(TINY, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=2)
    config = sd.heads.ClassifierConfig(backbone=backbone, num_classes=5)
    model = randomised(sd.heads.create_model(config))
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
    pixels = sd.batch_images([image]).pixels
    reference = sd.create_backbone(replace(backbone, out_indices=(0, 1, 2, 3)))
    state = reference.state_dict() | model.backbone.state_dict()
    reference.load_state_dict(state)
    with torch.no_grad():
        maps = swin_features(reference, pixels[0])[-1]  # (C, 2, 2): one window, never shifted
        expected = model.head(maps.mean((1, 2)))
    torch.testing.assert_close(model.logits([image])[0], expected, **CLOSE)


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()
