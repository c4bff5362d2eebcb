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
    few |= {"decoder_layers": 0, "decoder_ffn_channels": 2048}
    read = read_mask2former_config(weights(**few), RELEASED)
    assert read == dataclasses.replace(CONFIG, **few)


@pytest.mark.parametrize(
    ("mask_channels", "query_channels", "is_projected"),
    [(None, None, True), (20, None, False), (None, 48, False), (24, 16, False)],
)
def test_widths_of_their_own_are_read(
    mask_channels: int | None, query_channels: int | None, is_projected: bool
) -> None:
    config = dataclasses.replace(
        CONFIG,
        mask_channels=mask_channels,
        query_channels=query_channels,
        enforce_input_projection=is_projected,
    )
    with torch.device("meta"):
        state = create_model(config).state_dict()
    assert read_mask2former_config(state, RELEASED) == config
    assert read_mask2former_config(state, config) == config


def test_widths_that_a_config_states_as_they_would_be_are_no_others() -> None:
    stored = dataclasses.replace(CONFIG, mask_channels=32, query_channels=32)
    assert read_mask2former_config(weights(), stored) == stored


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
