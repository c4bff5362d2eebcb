"""Trainings on another backbone than the recipe's: by its name, resumed, sharded, evaluated."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import (
    assert_same,
    detection_recipe,
    finish,
    losses,
    segmentation_recipe,
    small_options,
    start_together,
    weights,
)

import swin_dense as sd
from swin_dense.configs import SWIN_VARIANTS, TimmConfig
from swin_dense.datasets.shapes import write_shapes
from swin_dense.tools.commands.train import choose_default
from swin_dense.tools.recipes.recipe import with_backbone
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.run import train

pytest.importorskip("timm", reason="needs timm")

NAME = "timm:test_convnext"
SWIN_MLP = sd.SwinMLPConfig(
    embed_dim=8,
    depths=(1, 2, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
    drop_path_rate=0.1,
    gradient_checkpointing=True,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_shapes(folder, num_train=6, num_val=2, size=64, seed=0)
    return folder


@pytest.mark.parametrize(
    "backbone",
    [TimmConfig(name="test_convnext"), pytest.param(SWIN_MLP, marks=pytest.mark.slow)],
)
def test_a_run_on_another_backbone_is_continued_to_the_bit(
    backbone: sd.BackboneConfig, data: Path, tmp_path: Path
) -> None:
    recipe = detection_recipe(data, steps=4)
    recipe = replace(recipe, model=replace(recipe.model, backbone=backbone))
    whole = small_options(recipe, tmp_path / "whole", save_every=2, evaluate_every=0, keep=4)
    train(whole)
    parts = small_options(recipe, tmp_path / "parts", save_every=2, evaluate_every=0, keep=4)
    train(parts)
    (parts.run / "last").unlink()
    (parts.run / "last").symlink_to("step_00000002")
    train(replace(parts, resume=True))
    assert_same(weights(whole.run), weights(parts.run))
    assert losses(whole.run) == losses(parts.run)


def test_a_run_on_another_backbone_is_evaluated_from_its_file(data: Path, tmp_path: Path) -> None:
    recipe = with_backbone(segmentation_recipe(data, steps=1), NAME)
    run = sd.tools.train(recipe, out=tmp_path / "run", workers=0, device="cpu")
    scores = sd.tools.evaluate(run.last, data=data, workers=0, device="cpu", scale=(64, 64))
    assert scores == run.metrics


def test_a_sharded_run_on_another_backbone_trains_as_one_process(
    data: Path, tmp_path: Path
) -> None:
    recipe = with_backbone(segmentation_recipe(data, steps=2), NAME)
    alone = small_options(recipe, tmp_path / "alone", evaluate_every=0)
    train(alone)
    together = small_options(recipe, tmp_path / "together", evaluate_every=0, fsdp=True)
    finish(start_together(together, num_processes=2), together)
    for line, other in zip(losses(alone.run), losses(together.run), strict=True):
        assert other == pytest.approx(line, rel=1e-4)  # sums in another order
    assert weights(alone.run).keys() == weights(together.run).keys()


@pytest.mark.parametrize("flag", [["--model.backbone", NAME], [f"--model.backbone={NAME}"]])
def test_a_flag_puts_another_backbone_in_place(flag: list[str]) -> None:
    words = ["mask_rcnn_demo", "--steps", "3", *flag, "--seed", "1"]
    options, rest = choose_default(words)
    assert options.recipe.model.backbone == TimmConfig(name="test_convnext")
    assert rest == ["--steps", "3", "--seed", "1"]


def test_what_a_recipe_sets_for_training_stays_for_another_swin_transformer() -> None:
    recipe = find_recipe("mask_rcnn_swin_t_finetune")
    assert recipe.model.backbone.frozen_stages == 1
    changed = with_backbone(recipe, "swin_s").model.backbone
    assert changed == replace(SWIN_VARIANTS["swin_s"], drop_path_rate=0.1, frozen_stages=1)
    other = with_backbone(recipe, "timm:resnet50").model.backbone
    assert other == TimmConfig(name="resnet50")


def test_a_backbone_in_place_of_the_recipes_must_be_named() -> None:
    with pytest.raises(ValueError, match="must be followed by the name of a backbone"):
        choose_default(["mask_rcnn_demo", "--model.backbone"])


def test_another_backbone_than_a_runs_is_refused_by_resume(data: Path, tmp_path: Path) -> None:
    options = small_options(
        with_backbone(segmentation_recipe(data, steps=1), NAME), tmp_path / "run", evaluate_every=0
    )
    train(options)
    other = with_backbone(options.recipe, "timm:test_resnet")
    with pytest.raises(ValueError, match=r"model.backbone.name: test_resnet instead of"):
        train(replace(options, recipe=other, resume=True))


def test_weights_of_another_kind_of_backbone_are_refused_by_init(
    data: Path, tmp_path: Path
) -> None:
    recipe = segmentation_recipe(data, steps=1)
    torch.manual_seed(0)
    file = tmp_path / "swin.safetensors"
    sd.heads.save_model(sd.heads.create_model(recipe.model), file)
    options = small_options(with_backbone(recipe, NAME), tmp_path / "run", init=file)
    with pytest.raises(ValueError, match="does not fit UPerNet on timm test_convnext"):
        train(options)
