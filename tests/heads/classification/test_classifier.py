"""Classifiers: parity with other libraries' models, losses, names; what all models share is in
`test_models.py`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swin_dense.checkpoints.classification.whole_classifiers import bare_names
from swin_dense.checkpoints.conversion import to_layout
from swin_dense.checkpoints.loading import load_weights
from swin_dense.configs import SwinConfig, SwinMLPConfig
from swin_dense.heads import Classifier, ClassifierConfig, ViewConfig, create_model, from_checkpoint
from swin_dense.heads.checkpoints import save_model
from swin_dense.padding import batch_images
from swin_dense.tools.commands.convert import convert
from swin_dense.tools.commands.inspect_ import inspect_file

CONFIG = ClassifierConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=2),
    num_classes=5,
)
SIDE = 64  # px: 32 x window


def _timm() -> nn.Module:
    timm = pytest.importorskip("timm", reason="needs timm")
    return timm.models.swin_transformer.SwinTransformer(
        img_size=SIDE,
        embed_dim=8,
        depths=(1, 2, 2, 2),
        num_heads=(1, 2, 2, 4),
        window_size=2,
        num_classes=5,
    )


def _torchvision() -> nn.Module:
    from torchvision.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=8,
        depths=[1, 2, 2, 2],
        num_heads=[1, 2, 2, 4],
        window_size=[2, 2],
        num_classes=5,
    )


def _transformers() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    return transformers.SwinForImageClassification(
        transformers.SwinConfig(
            image_size=SIDE,
            embed_dim=8,
            depths=[1, 2, 2, 2],
            num_heads=[1, 2, 2, 4],
            window_size=2,
            num_labels=5,
        )
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "huggingface": _transformers,
}


def _randomised(model: nn.Module) -> nn.Module:
    """The model with every weight drawn anew, norms and biases too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * (0.1 if parameter.ndim > 1 else 0.3) + (parameter.ndim < 2))
    return model.eval()


def _theirs(model: nn.Module, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        found: Any = model(pixels)
    return found if isinstance(found, Tensor) else found.logits


@pytest.fixture
def images(generator: torch.Generator) -> list[Tensor]:
    return [
        torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
        for _ in range(3)
    ]


@pytest.mark.parametrize("layout", MODELS)
def test_logits_are_those_of_the_library_that_wrote_the_file(
    layout: str, images: list[Tensor], tmp_path: Path
) -> None:
    theirs = _randomised(MODELS[layout]())
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = from_checkpoint(tmp_path / "theirs.pth")
    assert isinstance(ours, Classifier)
    assert replace(ours.config, view=CONFIG.view) == CONFIG
    expected = _theirs(theirs, batch_images(images).pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(ours.logits(images), expected, rtol=1e-5, atol=1e-5)
    scores = torch.stack(ours.predict(images))
    torch.testing.assert_close(scores, expected.softmax(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", ["microsoft", "ddp", "timm", "torchvision", "huggingface_v4"])
def test_a_file_in_any_layout_gives_the_same_classifier(
    layout: str, images: list[Tensor], tmp_path: Path
) -> None:
    model = _randomised(create_model(CONFIG))
    state = to_layout(bare_names(model.state_dict()), layout)
    torch.save({"model": state}, tmp_path / "a.pth")
    read = from_checkpoint(tmp_path / "a.pth")
    torch.testing.assert_close(read.logits(images), model.logits(images), rtol=0, atol=0)


SWIN_MLP = replace(
    CONFIG,
    backbone=SwinMLPConfig(embed_dim=8, depths=(1, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=2),
)


@pytest.mark.parametrize("layout", ["microsoft", "ddp"])
def test_a_published_file_of_a_swin_mlp_gives_the_same_classifier(
    layout: str, images: list[Tensor], tmp_path: Path
) -> None:
    model = _randomised(create_model(SWIN_MLP))
    state = to_layout(bare_names(model.state_dict()), layout)
    torch.save({"model": state, "epoch": 299}, tmp_path / "a.pth")
    facts = inspect_file(tmp_path / "a.pth")
    assert (facts["holds"], facts["layout"], facts["warnings"]) == ("classifier", layout, [])
    read = from_checkpoint(tmp_path / "a.pth")
    assert replace(read.config, view=CONFIG.view) == SWIN_MLP
    torch.testing.assert_close(read.logits(images), model.logits(images), rtol=0, atol=0)
    again = from_checkpoint(
        convert(tmp_path / "a.pth", tmp_path / "b.safetensors", to="swin_dense")
    )
    torch.testing.assert_close(again.logits(images), model.logits(images), rtol=0, atol=0)


def test_a_swin_mlp_of_another_window_or_kind_is_refused(tmp_path: Path) -> None:
    state = bare_names(create_model(SWIN_MLP).state_dict())
    other = create_model(replace(SWIN_MLP, backbone=replace(SWIN_MLP.backbone, window_size=4)))
    with pytest.raises(ValueError, match=r"does not fit .* of another shape \(backbone.layers.0"):
        load_weights(other, state)
    with pytest.raises(ValueError, match=r"keys missing .* unexpected \(.*spatial_mlp"):
        load_weights(create_model(CONFIG), state)
    with pytest.raises(
        ValueError, match=r"layout timm \(timm\) has no place for 14 of the weights"
    ):
        to_layout(state, "timm")


@pytest.mark.parametrize("size", [(60, 92), (33, 70)])
def test_images_of_other_sizes_are_taken_as_transformers_takes_them(
    size: tuple[int, int], generator: torch.Generator, tmp_path: Path
) -> None:
    theirs = _randomised(_transformers())
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = from_checkpoint(tmp_path / "theirs.pth")
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    pixels = batch_images([image], size_divisor=1).pixels
    torch.testing.assert_close(ours.logits([image]), _theirs(theirs, pixels), rtol=1e-5, atol=1e-5)


def test_a_batch_of_several_sizes_gives_what_each_gives_alone(generator: torch.Generator) -> None:
    model = _randomised(create_model(CONFIG))
    sizes = ((64, 64), (40, 75), (64, 64), (31, 20))
    images = [torch.randint(0, 256, (3, *s), dtype=torch.uint8, generator=generator) for s in sizes]
    together = model.logits(images)
    alone = torch.cat([model.logits([image]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_mixed_labels_cost_what_their_parts_cost(images: list[Tensor]) -> None:
    model = _randomised(create_model(CONFIG))
    first = model(images, [0, 1, 4])["loss_cls"]
    second = model(images, torch.tensor([3, 1, 2]))["loss_cls"]
    eye = torch.eye(5)
    mixed = 0.25 * eye[[0, 1, 4]] + 0.75 * eye[[3, 1, 2]]
    loss = model(images, mixed)["loss_cls"]
    torch.testing.assert_close(loss, 0.25 * first + 0.75 * second)


def test_labels_are_smoothed_over_all_classes(images: list[Tensor]) -> None:
    model = _randomised(create_model(replace(CONFIG, label_smoothing=0.2)))
    logs = model.logits(images).log_softmax(1)
    expected = -(0.8 * logs[range(3), [0, 1, 4]] + 0.2 * logs.mean(1)).mean()
    torch.testing.assert_close(model(images, [0, 1, 4])["loss_cls"], expected)


def test_vectors_and_position_tables_are_not_decayed_and_matrices_are() -> None:
    model = create_model(CONFIG)
    undecayed = model.no_weight_decay()
    for name, parameter in model.named_parameters():
        assert (name in undecayed) == (parameter.ndim == 1 or "bias_table" in name), name


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 1], r"targets must be a label or 5 shares an image, got \(2,\) for 3 images"),
        ([0, 1, 5], r"labels must be in 0\.\.4, got \[5\]"),
        (torch.zeros(3, 4), r"got \(3, 4\) for 3 images"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    targets: Any, message: str, images: list[Tensor]
) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(CONFIG)(images, targets)


def test_other_backbones_are_classified_by_their_last_level(
    images: list[Tensor], tmp_path: Path
) -> None:
    pytest.importorskip("timm", reason="needs timm")
    from swin_dense.configs import TimmConfig

    backbone = TimmConfig(name="resnet10t")
    model = create_model(CONFIG, backbone=backbone)
    assert isinstance(model, Classifier)
    expected = model.logits(images)
    maps = model.backbone.eval()(batch_images(images).pixels)[-1]
    torch.testing.assert_close(expected, model.head(maps.mean((2, 3))))
    save_model(model, tmp_path / "a.safetensors")
    read = from_checkpoint(tmp_path / "a.safetensors")
    assert read.config.backbone == backbone
    torch.testing.assert_close(read.logits(images), expected)


def test_our_own_file_keeps_its_view(tmp_path: Path) -> None:
    config = replace(CONFIG, view=ViewConfig(resize=70, crop=64, keep_ratio=False))
    model = create_model(config, class_names=tuple("abcde"))
    save_model(model, tmp_path / "a.safetensors")
    read = from_checkpoint(tmp_path / "a.safetensors")
    assert (read.config, read.class_names) == (config, tuple("abcde"))
