"""Mask2Former's sizes and task, read off weights."""

import dataclasses

import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.heads import create_model
from swin_dense.heads.mask2former.architecture import is_mask2former, read_mask2former_config
from swin_dense.heads.mask2former.config import Mask2FormerConfig

BACKBONE = SwinConfig(embed_dim=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
CONFIG = Mask2FormerConfig(
    backbone=BACKBONE,
    num_classes=5,
    num_queries=7,
    channels=32,
    num_heads=4,
    encoder_layers=2,
    encoder_ffn_channels=12,
    decoder_layers=4,
    decoder_ffn_channels=20,
)
RELEASED = Mask2FormerConfig(backbone=BACKBONE)


def weights(**values: object) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return create_model(dataclasses.replace(CONFIG, **values)).state_dict()


def test_all_sizes_are_read() -> None:
    assert is_mask2former(weights())
    assert read_mask2former_config(weights(), RELEASED) == CONFIG
    few = {"encoder_layers": 0, "num_heads": 8, "encoder_ffn_channels": 1024}
    read = read_mask2former_config(weights(**few), RELEASED)
    assert read == dataclasses.replace(CONFIG, **few)


@pytest.mark.parametrize(
    ("num_classes", "num_queries", "task", "num_stuff"),
    [
        (80, 100, "instance", 0),
        (133, 100, "panoptic", 53),
        (150, 100, "semantic", 50),
        (150, 200, "panoptic", 50),
        (100, 200, "instance", 0),
    ],
)
def test_the_task_of_a_released_file_follows_from_its_numbers(
    num_classes: int, num_queries: int, task: str, num_stuff: int
) -> None:
    state = weights(num_classes=num_classes, num_queries=num_queries)
    read = read_mask2former_config(state, RELEASED)
    assert read.task == task
    assert len(read.stuff_classes) == num_stuff


def test_a_stored_task_is_believed() -> None:
    stored = dataclasses.replace(CONFIG, task="panoptic", stuff_classes=(1,))
    assert read_mask2former_config(weights(), stored) == stored


def test_weights_of_other_heads_are_refused() -> None:
    state = weights()
    key = "pixel_decoder.layers.0.self_attn.attention_weights.weight"
    state[key] = torch.empty(13, 32, device="meta")
    with pytest.raises(ValueError, match=r"must have a row for each head, .* got 13"):
        read_mask2former_config(state, RELEASED)
    del state["query_decoder.query_feat.weight"]
    with pytest.raises(ValueError, match=r"query_feat.weight is missing"):
        read_mask2former_config(state, RELEASED)
