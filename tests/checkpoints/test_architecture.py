"""A backbone's config is read off its weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.architecture import backbone_from_checkpoint, read_backbone_config
from swin_dense.configs import (
    BACKBONE_VARIANTS,
    ShiftedWindowConfig,
    SwinConfig,
    SwinMLPConfig,
)

_CONFIG = SwinConfig(
    embed_dim=8, depths=(1, 2), num_heads=(2, 4), window_size=3, out_indices=(0, 1)
)


_MLP = SwinMLPConfig(
    embed_dim=8, depths=(1, 2), num_heads=(2, 4), window_size=3, out_indices=(0, 1)
)


def _state(config: ShiftedWindowConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return config.build().state_dict()


@pytest.mark.parametrize(
    "config",
    [
        *BACKBONE_VARIANTS.values(),
        _CONFIG,
        _MLP,
        replace(_MLP, patch_size=2, mlp_ratio=2.5, window_size=1, num_heads=(1, 8)),
        replace(_CONFIG, patch_size=2, in_channels=4, mlp_ratio=2.5, patch_norm=False),
        replace(_CONFIG, qkv_bias=False, out_indices=(1,), window_size=1),
        SwinConfig(embed_dim=6, depths=(3,), num_heads=(3,), out_indices=(0,)),
    ],
)
def test_config_is_read_back(config: ShiftedWindowConfig) -> None:
    state = _state(config)
    assert read_backbone_config(state) == config
    assert (
        read_backbone_config({f"backbone.{key}": value for key, value in state.items()}) == config
    )


def test_backbone_is_built_from_a_file_alone(shared: Path) -> None:
    path = shared / "golden" / "det_mmdet_mask_rcnn" / "model.pth"
    backbone = backbone_from_checkpoint(path)
    assert backbone.channels == (32, 64, 128, 256)
    assert not backbone.training


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("patch_embed.proj.weight", (8, 3, 4, 2), "patches must be square, got 4 x 2"),
        ("patch_embed.proj.weight", (8, 3), "must have 4 dimensions"),
        (
            "layers.1.blocks.1.attn.relative_position_bias_table",
            (49, 4),
            "one window, got 25 rows in .*, 49 rows in",
        ),
        ("layers.1.blocks.5.norm1.weight", (16,), "block 2 of stage 1 is missing"),
    ],
)
def test_contradictions_are_named(key: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_backbone_config(_state(_CONFIG) | {key: torch.empty(shape, device="meta")})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((36, 12, 1), r"tokens of one window in each stage, got 9 in .* 12 in layers.1"),
        ((64, 16, 1), "one window in each stage, got 9 in layers.0.* 16 in layers.1"),
        ((36, 9), "must have 3 dimensions"),
    ],
)
def test_contradictions_of_a_swin_mlp_are_named(shape: tuple[int, ...], message: str) -> None:
    key = "layers.1.blocks.0.spatial_mlp.weight"
    state = _state(_MLP) | {key: torch.empty(shape, device="meta")}
    with pytest.raises(ValueError, match=message):
        read_backbone_config(state)


def test_sizes_that_fill_the_memory_are_refused_before_they_do(tmp_path: Path) -> None:
    state = SwinTransformer(SwinConfig(embed_dim=8, num_heads=(1, 1, 1, 1))).state_dict()
    state["patch_embed.proj.weight"] = torch.zeros(2**18, 1, 1, 1)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: embed_dim must be in 1\.\.16384, got 262144"):
        backbone_from_checkpoint(tmp_path / "a.pth")
