"""Recipes against a table typed from the released configurations."""

from dataclasses import replace

import pytest

from swin_dense.tools.recipes import RECIPES, Options, find_recipe, run

# variant, depths, drop path, epochs, epochs of the drops, box AP, mask AP
_PUBLISHED = {
    "mask_rcnn_swin_t_coco_1x": ((2, 2, 6, 2), 0.1, 12, (8, 11), 43.7, 39.8),
    "mask_rcnn_swin_t_coco_3x": ((2, 2, 6, 2), 0.2, 36, (27, 33), 46.0, 41.6),
    "mask_rcnn_swin_s_coco_3x": ((2, 2, 18, 2), 0.2, 36, (27, 33), 48.5, 43.3),
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_recipes_have_the_released_numbers(name: str) -> None:
    depths, drop_path, epochs, drops, box_ap, mask_ap = _PUBLISHED[name]
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.published == (("box AP", box_ap), ("mask AP", mask_ap))
    backbone = recipe.model.backbone
    assert (backbone.embed_dim, backbone.depths, backbone.window_size) == (96, depths, 7)
    assert backbone.drop_path_rate == drop_path
    assert (recipe.batch_size, recipe.epochs, recipe.steps) == (16, epochs, None)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-4, (0.9, 0.999), 0.05)
    assert optimizer.clip_norm is None
    schedule = recipe.schedule
    assert (schedule.warmup_steps, schedule.warmup_ratio, schedule.gamma) == (500, 0.001, 0.1)
    steps_per_epoch = 7330  # 117266 images with objects, 16 a step
    num_steps = recipe.num_steps(steps_per_epoch)
    assert num_steps == epochs * steps_per_epoch
    for drop in drops:
        before, after = (
            schedule.factor(drop * steps_per_epoch + i, num_steps=num_steps) for i in (-1, 0)
        )
        assert after == pytest.approx(0.1 * before)


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_detectors_use_the_augmentation_of_detr(name: str) -> None:
    data = find_recipe(name).data
    assert data.task == find_recipe(name).task == "detection"
    assert data.flip == 0.5
    assert data.train_shorts == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    assert data.train_long == 1333
    assert data.crop_shorts == (400, 500, 600)
    assert data.crop_range == (384, 600)
    assert data.scale == (1333, 800)


def test_a_length_in_steps_goes_before_epochs() -> None:
    recipe = replace(find_recipe("mask_rcnn_swin_t_coco_1x"), steps=200)
    assert recipe.num_steps(7330) == 200


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'mask_rcnn'; choose one of mask_rcnn_sw"):
        find_recipe("mask_rcnn")


@pytest.mark.parametrize("field", ["batch_size", "epochs", "steps"])
def test_lengths_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be at least 1, got 0"):
        replace(find_recipe("mask_rcnn_demo"), **{field: 0})


def test_recipes_prints_every_name_with_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    run(Options())
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES)
    assert "box AP 46.0, mask AP 41.6" in printed
