"""Mask2Former as a whole; what all models share is in `test_models.py`."""

import dataclasses

import pytest
import torch
from torch import Tensor

from swin_dense.configs import SwinConfig
from swin_dense.heads import create_model
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.padding import batch_images

CONFIG = Mask2FormerConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4),
    num_classes=3,
    num_queries=6,
    channels=32,
    num_heads=2,
    encoder_layers=2,
    encoder_ffn_channels=16,
    decoder_layers=4,
    decoder_ffn_channels=16,
    num_points=32,
    task="panoptic",
    stuff_classes=(2,),
    object_score=0.3,
)
SIZES = ((64, 96), (50, 33), (64, 64), (20, 100), (61, 90))


@pytest.fixture
def model() -> Mask2Former:
    return create_model(CONFIG).eval()


@pytest.fixture
def images(generator: torch.Generator) -> list[Tensor]:
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in SIZES
    ]


def test_a_batch_of_five_sizes_is_five_batches_of_one(
    model: Mask2Former, images: list[Tensor]
) -> None:
    with torch.no_grad():
        together = model._outputs(batch_images(images))
    for image, (classes, masks, _) in zip(images, together, strict=True):
        alone = model.outputs([image])
        torch.testing.assert_close(classes, alone[0][0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(masks, alone[1][0], rtol=1e-4, atol=1e-4)


def test_outputs_are_of_images_of_one_padded_size(model: Mask2Former, images: list[Tensor]) -> None:
    classes, masks = model.outputs([images[0], images[4]])
    assert classes.shape == (2, 6, 4)
    assert masks.shape == (2, 6, 16, 24)
    with pytest.raises(ValueError, match="images must be padded to one size"):
        model.outputs(images)


def test_the_task_of_a_model_is_its_configs() -> None:
    for task, name in (
        ("instance", "detection"),
        ("semantic", "segmentation"),
        ("panoptic", "panoptic"),
    ):
        with torch.device("meta"):
            assert create_model(dataclasses.replace(CONFIG, task=task)).task == name


def test_a_model_gives_results_of_other_tasks_too(model: Mask2Former, images: list[Tensor]) -> None:
    (instances,) = model.predict(images[:1], task="instance")
    assert set(instances["labels"].tolist()) <= {0, 1}  # things alone
    (label_map,) = model.predict(images[:1], task="semantic", original_sizes=[(10, 12)])
    assert label_map.shape == (10, 12)
    with pytest.raises(ValueError, match="task must be one of instance, semantic, panoptic, got"):
        model.predict(images[:1], task="boxes")


def test_several_scales_with_mirror_images_give_a_label_map(
    model: Mask2Former, images: list[Tensor]
) -> None:
    found = model.predict_multi_scale([images[0], images[0][:, ::2, ::2]], original_size=(20, 30))
    assert found.shape == (20, 30)
    alone = model.predict_multi_scale(images[:1], original_size=(64, 96), mirror=False)
    (expected,) = model.predict(images[:1], task="semantic")
    assert torch.equal(alone, expected)
    with pytest.raises(ValueError, match="views must hold at least one image"):
        model.predict_multi_scale([], original_size=(8, 8))


def test_norms_and_embeddings_are_not_decayed_and_biases_are(model: Mask2Former) -> None:
    undecayed = model.no_weight_decay()
    assert "query_decoder.query_feat.weight" in undecayed
    assert "query_decoder.layers.0.self_norm.bias" in undecayed
    assert "pixel_decoder.input_convs.0.norm.weight" in undecayed
    assert "backbone.norm0.weight" in undecayed
    assert "pixel_decoder.level_embed" not in undecayed
    assert "query_decoder.class_embed.bias" not in undecayed
    assert undecayed <= {name for name, _ in model.named_parameters()}


def test_a_backbone_of_other_levels_is_refused() -> None:
    backbone = dataclasses.replace(CONFIG.backbone, out_indices=(1, 2, 3))
    with pytest.raises(ValueError, match="backbone must give 4 levels, got 3"):
        create_model(CONFIG, backbone=backbone)
