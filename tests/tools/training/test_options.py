"""Flags of a training: what is refused, and what they do to the recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.detection.config import MaskRCNNConfig
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training import options as training_options
from swin_dense.tools.training.options import Options, with_model_of_init, with_scaled_lr
from swin_dense.tools.training.setup import resolve_launcher


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 0}, "--keep must be at least 1, got 0"),
        ({"save_minutes": -1.0}, "--save-minutes must be at least 0, got -1.0"),
        ({"save_every": -1}, "--save-every must be at least 0, got -1"),
        ({"evaluate_every": -1}, "--evaluate-every must be at least 0, got -1"),
        ({"ema": 1.0}, "--ema must be between 0 and 1, got 1.0"),
        ({"model_from_init": True}, "--model-from-init must have the file of a whole model"),
    ],
)
def test_options_are_checked_at_the_door(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(recipe=find_recipe("mask_rcnn_demo"), **changes)


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_options, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--track wandb must have .*; pip install wandb$"):
        Options(recipe=find_recipe("mask_rcnn_demo"), track="wandb")


def test_passes_over_the_data_do_not_go_unheard_beside_a_length_in_steps() -> None:
    recipe = find_recipe("mask_rcnn_swin_t_finetune")
    with pytest.raises(ValueError, match="got 50 and --steps 3000; add --steps None"):
        Options(recipe=replace(recipe, epochs=50))
    assert Options(recipe=replace(recipe, epochs=50, steps=None)).recipe.num_steps(10) == 500


def test_the_rate_is_scaled_by_the_batch_size_of_the_named_recipe() -> None:
    recipe = find_recipe("mask_rcnn_swin_t_coco_1x")
    assert recipe.batch_size == 16
    smaller = replace(recipe, batch_size=4)
    options = with_scaled_lr(Options(recipe=smaller, scale_lr=True))
    assert options.recipe.optimizer.lr == pytest.approx(recipe.optimizer.lr / 4)
    assert with_scaled_lr(options) == options
    assert with_scaled_lr(Options(recipe=smaller)).recipe == smaller


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small detector of three classes."""
    backbone = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    model = create_model(MaskRCNNConfig(backbone=backbone, num_classes=3, fpn_channels=8))
    save_model(model, tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_the_architecture_can_be_that_of_the_file(file: Path) -> None:
    recipe = find_recipe("mask_rcnn_swin_t_finetune")
    options = with_model_of_init(Options(recipe=recipe, init=file, model_from_init=True))
    model = options.recipe.model
    assert (model.fpn_channels, model.backbone.embed_dim) == (8, 8)
    assert (model.backbone.drop_path_rate, model.backbone.frozen_stages) == (0.1, 1)
    assert replace(options.recipe, model=recipe.model) == recipe
    assert with_model_of_init(options) == options
    plain = Options(recipe=recipe, init=file)
    assert with_model_of_init(plain) == plain


def test_what_contradicts_the_file_is_refused(file: Path) -> None:
    recipe = find_recipe("mask_rcnn_swin_t_finetune")
    wider = replace(recipe, model=replace(recipe.model, fpn_channels=64))
    with pytest.raises(ValueError, match=r"without flags that change the architecture .*small\."):
        with_model_of_init(Options(recipe=wider, init=file, model_from_init=True))
    other = find_recipe("upernet_swin_t_finetune")
    with pytest.raises(ValueError, match="a file for segmentation, got one for detection in"):
        with_model_of_init(Options(recipe=other, init=file, model_from_init=True))
    backbone = replace(recipe.model.backbone, drop_path_rate=0.3, frozen_stages=0)
    training = replace(recipe, model=replace(recipe.model, backbone=backbone))
    options = with_model_of_init(Options(recipe=training, init=file, model_from_init=True))
    assert options.recipe.model.backbone.drop_path_rate == 0.3


def test_the_launchers_wish_to_shard_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(recipe=find_recipe("mask_rcnn_demo"))
    assert resolve_launcher(options) == options
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert resolve_launcher(options).fsdp
    assert not resolve_launcher(options).fsdp  # accelerate itself must not see it
