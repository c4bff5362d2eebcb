"""Against transformers' model of the same weights: logits of all layers, losses, gradients."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import swin_dense as sd
from swin_dense.heads.mask2former.decoders.query_decoder import mask_logits
from swin_dense.padding import ImageBatch

transformers = pytest.importorskip("transformers", reason="needs transformers")

SWIN = {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 4}
DEFAULTS = {
    **dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim"), 32),
    "encoder_feedforward_dim": 48,
    "dim_feedforward": 64,
    "num_attention_heads": 4,
    "num_labels": 5,
    "train_num_points": 64,
}
CASES = {
    "wide": ((64, 96), SWIN, {"encoder_layers": 2, "decoder_layers": 5, "num_queries": 10}),
    "square, unpadded, window 12": (
        (50, 50),
        SWIN | {"depths": [1, 2, 1, 1], "window_size": 12},
        {"encoder_layers": 1, "decoder_layers": 8, "num_queries": 7},
    ),
    "tall, other widths and weights": (
        (97, 41),
        SWIN | {"embed_dim": 16, "depths": [2, 1, 1, 3], "num_heads": [1, 1, 4, 8]},
        {
            "feature_size": 64,
            "mask_feature_size": 20,
            "hidden_dim": 48,
            "num_attention_heads": 2,
            "encoder_feedforward_dim": 20,
            "dim_feedforward": 36,
            "class_weight": 3.0,
            "mask_weight": 2.0,
            "dice_weight": 4.0,
            "no_object_weight": 0.3,
            "train_num_points": 50,
            "oversample_ratio": 2.5,
            "importance_sample_ratio": 0.4,
            "num_labels": 9,
            "decoder_layers": 3,
        },
    ),
    "no layers at all": (
        (32, 40),
        SWIN,
        {"encoder_layers": 0, "decoder_layers": 1, "num_attention_heads": 2},
    ),
    "norms first, projected, all points chosen": (
        (33, 70),
        SWIN,
        {
            "pre_norm": True,
            "enforce_input_projection": True,
            "encoder_layers": 1,
            "importance_sample_ratio": 1.0,
            "num_queries": 1,
            "decoder_layers": 2,
            "oversample_ratio": 1.0,
        },
    ),
}


@pytest.fixture(scope="module", params=list(CASES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Their model, ours read from the files they wrote, pixels and targets."""
    torch.manual_seed(0)
    size, swin, heads = CASES[request.param]
    stages = [f"stage{i}" for i in range(1, 5)]
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**swin, drop_path_rate=0.0, out_features=stages),
        **DEFAULTS | heads,
        output_auxiliary_logits=True,
    )
    theirs = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    for name, parameter in theirs.named_parameters():
        if "sampling_offsets.weight" in name or "attention_weights.weight" in name:
            nn.init.normal_(parameter, std=0.3)  # zero at first: no query would look about
    folder: Path = tmp_path_factory.mktemp("hub")
    theirs.save_pretrained(folder)
    ours = sd.heads.from_checkpoint(folder)
    ours.config = dataclasses.replace(ours.config, size_divisor=1)
    targets = [{"masks": torch.rand(n, *size) > 0.5, "labels": torch.arange(n) % 5} for n in (2, 3)]
    return theirs, ours, torch.randn(2, 3, *size), targets


def distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


def test_logits_of_all_layers_are_theirs(pair: tuple) -> None:
    theirs, ours, pixels, _ = pair
    with torch.no_grad():
        expected = theirs(pixels)
        decoded = ours.pixel_decoder(ours.backbone(pixels))
        states = ours.query_decoder(decoded)
    layers = [*expected.auxiliary_logits, expected]
    assert len(layers) == len(states)
    for state, layer in zip(states, layers, strict=True):
        masks = mask_logits(state.mask_embeddings, decoded.mask_features)
        assert distance(state.class_logits, layer["class_queries_logits"]) < 1e-4
        assert distance(masks, layer["masks_queries_logits"]) < 1e-4
    batch = ImageBatch(pixels, (tuple(pixels.shape[-2:]),) * 2, size_divisor=1)
    classes, masks = ours.outputs(batch)
    assert distance(classes, expected.class_queries_logits) < 1e-4
    assert distance(masks, expected.masks_queries_logits) < 1e-4


def test_losses_and_gradients_are_theirs_at_the_same_points(pair: tuple) -> None:
    theirs, ours, pixels, targets = pair
    torch.manual_seed(7)
    expected = theirs(
        pixels,
        mask_labels=[target["masks"].float() for target in targets],
        class_labels=[target["labels"] for target in targets],
    ).loss
    torch.manual_seed(7)
    batch = ImageBatch(pixels, (tuple(pixels.shape[-2:]),) * 2, size_divisor=1)
    loss = sum(ours(batch, targets).values())
    assert distance(loss, expected) < 1e-4
    expected.backward()
    loss.backward()
    norms = [
        sum(float(p.grad.norm()) ** 2 for p in model.parameters() if p.grad is not None) ** 0.5
        for model in (ours, theirs)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
