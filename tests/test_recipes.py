"""Recipes against a table typed from the released configurations."""

import pytest

from swin_dense.published import PUBLISHED
from swin_dense.tools.recipes import RECIPES, Options, find_recipe, run

# variant, depths, drop path, epochs, epochs of the drops, box AP, mask AP
_PUBLISHED = {
    "mask_rcnn_swin_t_coco_1x": ((2, 2, 6, 2), 0.1, 12, (8, 11), 43.7, 39.8),
    "mask_rcnn_swin_t_coco_3x": ((2, 2, 6, 2), 0.2, 36, (27, 33), 46.0, 41.6),
    "mask_rcnn_swin_s_coco_3x": ((2, 2, 18, 2), 0.2, 36, (27, 33), 48.5, 43.3),
    "cascade_mask_rcnn_swin_t_coco_1x": ((2, 2, 6, 2), 0.0, 12, (8, 11), 48.1, 41.7),
    "cascade_mask_rcnn_swin_t_coco_3x": ((2, 2, 6, 2), 0.2, 36, (27, 33), 50.4, 43.7),
    "cascade_mask_rcnn_swin_s_coco_3x": ((2, 2, 18, 2), 0.2, 36, (27, 33), 51.9, 45.0),
    "cascade_mask_rcnn_swin_b_coco_3x": ((2, 2, 18, 2), 0.3, 36, (27, 33), 51.9, 45.0),
}

# variant, width and depths of the backbone, mIoU at one scale and at several with mirror images
_PUBLISHED_ADE20K = {
    "upernet_swin_t_ade20k_160k": (96, (2, 2, 6, 2), 44.51, 45.81),
    "upernet_swin_s_ade20k_160k": (96, (2, 2, 18, 2), 47.64, 49.47),
    "upernet_swin_b_ade20k_160k": (128, (2, 2, 18, 2), 48.13, 49.72),
    "upernet_swin_l_ade20k_160k": (192, (2, 2, 18, 2), 51.17, 52.99),
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_recipes_have_the_released_numbers(name: str) -> None:
    depths, drop_path, epochs, drops, box_ap, mask_ap = _PUBLISHED[name]
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.published == (("box AP", box_ap), ("mask AP", mask_ap))
    backbone = recipe.model.backbone
    width = 128 if "swin_b" in name else 96
    assert (backbone.embed_dim, backbone.depths, backbone.window_size) == (width, depths, 7)
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


@pytest.mark.parametrize("name", _PUBLISHED_ADE20K)
def test_published_segmentors_have_the_released_numbers(name: str) -> None:
    width, depths, single, multi = _PUBLISHED_ADE20K[name]
    recipe = find_recipe(name)
    assert recipe.published == (("mIoU", single), ("mIoU (ms+flip)", multi))
    backbone = recipe.model.backbone
    assert (backbone.embed_dim, backbone.depths, backbone.window_size) == (width, depths, 7)
    assert backbone.drop_path_rate == 0.3
    model = recipe.model
    assert (model.decoder_channels, model.auxiliary_channels, model.dropout) == (512, 256, 0.1)
    assert (recipe.batch_size, recipe.num_steps(1263)) == (16, 160_000)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (6e-5, (0.9, 0.999), 0.01)
    assert optimizer.clip_norm is None
    factors = [recipe.schedule.factor(step, num_steps=160_000) for step in (0, 1500, 80_000)]
    assert factors == pytest.approx([1e-6, 1 - 1500 / 160_000, 0.5])
    data = recipe.data
    assert (data.scale, data.ratios, data.crop) == ((2048, 512), (0.5, 2.0), (512, 512))
    assert (data.max_class_share, data.flip, data.photometric) == (0.75, 0.5, True)
    assert data.task == recipe.task == "segmentation"
    assert data.zero_is_ignored


def test_every_recipe_that_a_published_file_names_is_there() -> None:
    assert {file.recipe for file in PUBLISHED.values() if file.recipe} <= RECIPES.keys()


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'mask_rcnn'; choose one of mask_rcnn_sw"):
        find_recipe("mask_rcnn")


def test_recipes_prints_every_name_with_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    run(Options())
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES)
    assert "box AP 46.0, mask AP 41.6" in printed
    assert all(name in printed for name in PUBLISHED)
    assert all(file.url in printed and file.licence in printed for file in PUBLISHED.values())
    assert "mIoU 44.51, mIoU (ms+flip) 45.81; about 240 MB" in printed
