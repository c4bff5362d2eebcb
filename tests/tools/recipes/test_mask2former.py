"""Mask2Former's recipes against the released configurations."""

from dataclasses import replace

import pytest
import torch

from swin_dense.checkpoints.published import PUBLISHED
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.data import JitteredData, PaddedData, PanopticData
from swin_dense.tools.recipes.mask2former import MASK2FORMER_RECIPES
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.optimizer import parameter_groups

# Name, width of the backbone, window, queries, classes, first published score.
_COCO = [
    ("mask2former_swin_t_coco_instance_50e", 96, 7, 100, 80, 45.0),
    ("mask2former_swin_s_coco_instance_50e", 96, 7, 100, 80, 46.3),
    ("mask2former_swin_b_coco_instance_50e", 128, 12, 100, 80, 46.7),
    ("mask2former_swin_b_22k_coco_instance_50e", 128, 12, 100, 80, 48.1),
    ("mask2former_swin_l_coco_instance_100e", 192, 12, 200, 80, 50.1),
    ("mask2former_swin_t_coco_panoptic_50e", 96, 7, 100, 133, 53.2),
    ("mask2former_swin_s_coco_panoptic_50e", 96, 7, 100, 133, 54.6),
    ("mask2former_swin_b_coco_panoptic_50e", 128, 12, 100, 133, 55.1),
    ("mask2former_swin_b_22k_coco_panoptic_50e", 128, 12, 100, 133, 56.4),
    ("mask2former_swin_l_coco_panoptic_100e", 192, 12, 200, 133, 57.8),
]
# Name, width, window, side of the crop, mIoU at one scale.
_ADE20K = [
    ("mask2former_swin_t_ade20k_semantic_160k", 96, 7, 512, 47.7),
    ("mask2former_swin_s_ade20k_semantic_160k", 96, 7, 512, 51.3),
    ("mask2former_swin_b_ade20k_semantic_160k", 128, 12, 640, 52.4),
    ("mask2former_swin_b_22k_ade20k_semantic_160k", 128, 12, 640, 53.9),
    ("mask2former_swin_l_ade20k_semantic_160k", 192, 12, 640, 56.1),
]
_SHORTS = {
    512: (256, 307, 358, 409, 460, 512, 563, 614, 665, 716, 768, 819, 870, 921, 972, 1024),
    640: tuple(range(320, 1281, 64)),
}
_NUM_PUBLISHED = 16


@pytest.mark.parametrize(("name", "width", "window", "queries", "classes", "score"), _COCO)
def test_coco_recipes_train_as_released(
    name: str, width: int, window: int, queries: int, classes: int, score: float
) -> None:
    recipe = find_recipe(name)
    model = recipe.model
    assert (model.backbone.embed_dim, model.backbone.window_size) == (width, window)
    assert (model.num_queries, model.num_classes) == (queries, classes)
    assert model.task == ("instance" if classes == 80 else "panoptic")
    assert recipe.published[0][1] == score
    data = recipe.data
    assert isinstance(data, JitteredData if classes == 80 else PanopticData)
    assert (data.size, data.jitter, data.flip, data.scale) == (1024, (0.1, 2.0), 0.5, (1333, 800))
    steps = 737_500 if "swin_l" in name else 368_750
    drops = (655_556, 710_184) if "swin_l" in name else (327_778, 355_092)
    assert recipe.num_steps(7330) == steps
    factors = [
        recipe.schedule.factor(step, num_steps=steps)
        for drop in (0, *drops)
        for step in (max(drop - 1, 0), drop)
    ]
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(("name", "width", "window", "side", "score"), _ADE20K)
def test_ade20k_recipes_train_as_released(
    name: str, width: int, window: int, side: int, score: float
) -> None:
    recipe = find_recipe(name)
    model, data = recipe.model, recipe.data
    assert (model.backbone.embed_dim, model.backbone.window_size) == (width, window)
    assert (model.num_queries, model.num_classes, model.task) == (100, 150, "semantic")
    assert isinstance(data, PaddedData)
    assert (data.crop, data.scale, data.train_long) == ((side, side), (4 * side, side), 4 * side)
    assert data.train_shorts == _SHORTS[side]
    assert (data.flip, data.photometric, data.cat_max_ratio) == (0.5, True, 1.0)
    assert recipe.published[0][1] == score
    assert recipe.steps == 160_000
    factors = [recipe.schedule.factor(step, num_steps=160_000) for step in (0, 80_000, 159_999)]
    assert factors == pytest.approx([1.0, 0.5**0.9, (1 / 160_000) ** 0.9])


def test_ade20k_panoptic_trains_as_released() -> None:
    recipe = find_recipe("mask2former_swin_l_ade20k_panoptic_160k")
    assert (recipe.model.num_queries, recipe.model.num_classes) == (200, 150)
    data = recipe.data
    assert isinstance(data, PanopticData)
    assert (data.size, data.scale, data.train_long) == (640, (2560, 640), 2560)
    assert (data.train_shorts, data.photometric) == (_SHORTS[640], True)
    assert recipe.published == (("PQ", 48.1),)


def test_all_published_recipes_share_optimiser_batch_and_drop_path() -> None:
    published = [recipe for recipe in MASK2FORMER_RECIPES if recipe.published]
    assert len(published) == _NUM_PUBLISHED
    for recipe in published:
        optimizer = recipe.optimizer
        assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-4, (0.9, 0.999), 0.05)
        assert (optimizer.clip_norm, optimizer.backbone_lr) == (0.01, 0.1)
        assert (recipe.batch_size, recipe.evaluate_every) == (16, 5000)
        assert recipe.model.backbone.drop_path_rate == 0.3


def test_published_files_name_the_recipe_of_their_scores() -> None:
    files = [file for file in PUBLISHED.values() if file.model and "mask2former" in file.model]
    named = {file.recipe for file in files} - {None}
    assert named == {recipe.name for recipe in MASK2FORMER_RECIPES if recipe.published}
    for file in files:
        if file.recipe:
            recipe = find_recipe(file.recipe)
            assert {name: file.scores[name] for name, _ in recipe.published} == dict(
                recipe.published
            )
            assert (file.task, file.num_classes) == (recipe.task, recipe.model.num_classes)


def test_norms_and_embeddings_are_not_decayed_and_the_backbone_learns_at_a_tenth() -> None:
    with torch.device("meta"):
        model = create_model(replace(find_recipe("mask2former_demo").model))
    groups = parameter_groups(model, weight_decay=0.05, backbone_lr=0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr_factor"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert len(found) == len(names)
    assert found["query_decoder.class_embed.bias"] == (1.0, 0.05)
    assert found["backbone.layers.0.blocks.0.attn.qkv.bias"] == (0.1, 0.05)
    assert found["backbone.layers.0.blocks.0.norm1.weight"] == (0.1, 0.0)
    undecayed = {name for name, (factor, decay) in found.items() if decay == 0 and factor == 1}
    assert {name for name in names.values() if "query_embed" in name} <= undecayed
    assert not any("sampling_offsets" in name for name in undecayed)


@pytest.mark.parametrize("task", ["instance", "semantic", "panoptic"])
def test_there_is_a_recipe_for_small_sets_of_each_task(task: str) -> None:
    recipe = find_recipe(f"mask2former_swin_t_{task}_finetune")
    assert recipe.model.task == task
    tasks = {"instance": "detection", "semantic": "segmentation", "panoptic": "panoptic"}
    assert recipe.task == tasks[task]
    assert (recipe.batch_size, recipe.steps) == (4, 3000)
