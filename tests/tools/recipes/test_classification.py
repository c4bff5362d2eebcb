"""Classification's recipes against tables typed from the released configurations."""

from dataclasses import asdict

import pytest

from swin_dense.checkpoints.published import PUBLISHED
from swin_dense.tools.recipes.optim import CosineSchedule
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES, find_recipe

# name: drop path, batch, epochs, warm-up epochs, lr, weight decay, top-1, top-5
_RELEASED = {
    "classifier_swin_t_imagenet_300e": (0.2, 1024, 300, 20, 1e-3, 0.05, 81.2, 95.5),
    "classifier_swin_s_imagenet_300e": (0.3, 1024, 300, 20, 1e-3, 0.05, 83.2, 96.2),
    "classifier_swin_b_imagenet_300e": (0.5, 1024, 300, 20, 1e-3, 0.05, 83.5, 96.5),
    "classifier_swin_t_c24_imagenet_300e": (0.2, 1024, 300, 20, 1e-3, 0.05, 81.6, 95.7),
    "classifier_swin_mixer_t_d24_imagenet_300e": (0.2, 1024, 300, 20, 1e-3, 0.05, 79.4, 94.6),
    "classifier_swin_mixer_t_d12_imagenet_300e": (0.2, 1024, 300, 20, 1e-3, 0.05, 79.6, 94.7),
    "classifier_swin_mixer_t_d6_imagenet_300e": (0.2, 1024, 300, 20, 1e-3, 0.05, 79.7, 94.9),
    "classifier_swin_mixer_b_d24_imagenet_300e": (0.5, 1024, 300, 20, 1e-3, 0.05, 81.3, 95.3),
    "classifier_swin_b_w12_imagenet_384_30e": (0.5, 1024, 30, 5, 4e-5, 1e-8, 84.5, 97.0),
    "classifier_swin_t_imagenet22k_90e": (0.1, 4096, 90, 5, 1e-3, 0.05, None, None),
    "classifier_swin_s_imagenet22k_90e": (0.2, 4096, 90, 5, 1e-3, 0.05, None, None),
    "classifier_swin_b_imagenet22k_90e": (0.2, 4096, 90, 5, 1e-3, 0.05, None, None),
    "classifier_swin_l_imagenet22k_90e": (0.2, 4096, 90, 5, 1e-3, 0.05, None, None),
    "classifier_swin_t_22kto1k_30e": (0.1, 1024, 30, 5, 4e-5, 1e-8, 80.9, 96.0),
    "classifier_swin_s_22kto1k_30e": (0.2, 1024, 30, 5, 4e-5, 1e-8, 83.2, 97.0),
    "classifier_swin_b_22kto1k_30e": (0.2, 1024, 30, 5, 4e-5, 1e-8, 85.2, 97.5),
    "classifier_swin_l_22kto1k_30e": (0.2, 1024, 30, 5, 4e-5, 1e-8, 86.3, 97.9),
    "classifier_swin_b_w12_22kto1k_384_30e": (0.2, 1024, 30, 5, 4e-5, 1e-8, 86.4, 98.0),
    "classifier_swin_l_w12_22kto1k_384_30e": (0.2, 1024, 30, 5, 4e-5, 1e-8, 87.3, 98.2),
}


def _recipes() -> dict[str, Recipe]:
    return {name: r for name, r in RECIPES.items() if r.task == "classification"}


@pytest.mark.parametrize("name", _RELEASED)
def test_recipes_train_as_released(name: str) -> None:
    drop_path, batch, epochs, warmup, lr, decay, top1, top5 = _RELEASED[name]
    recipe = find_recipe(name)
    assert recipe.model.backbone.drop_path_rate == drop_path
    assert (recipe.batch_size, recipe.epochs, recipe.steps) == (batch, epochs, None)
    assert recipe.optimizer.lr == pytest.approx(lr)
    assert recipe.optimizer.weight_decay == decay
    assert (recipe.optimizer.betas, recipe.optimizer.clip_norm) == ((0.9, 0.999), 5.0)
    assert recipe.published == (() if top1 is None else (("top-1", top1), ("top-5", top5)))
    schedule, steps = recipe.schedule, epochs * 100
    assert isinstance(schedule, CosineSchedule)
    assert schedule.factor(0, num_steps=steps) == pytest.approx(1e-3)  # 5e-7 of 5e-4
    assert schedule.factor(warmup * 100, num_steps=steps) == 1.0
    assert schedule.factor(warmup * 100 - 1, num_steps=steps) < 1.0
    assert schedule.factor(steps, num_steps=steps) == pytest.approx(1e-2)  # 5e-6 of 5e-4
    assert recipe.model.label_smoothing == 0.1
    assert recipe.model.num_classes == (21841 if "22k_" in name else 1000)


@pytest.mark.parametrize("name", _RELEASED)
def test_recipes_augment_as_released(name: str) -> None:
    data = asdict(find_recipe(name).data)
    is_large = "384" in name
    expected = (384, (384, 384)) if is_large else (224, (256, 224))
    if any(part in name for part in ("_c24", "_mixer_t")):
        expected = 256, (292, 256)
    assert (data["size"], data["scale"]) == expected
    assert data["keep_ratio"] is not is_large
    assert data["area"] == (0.08, 1.0)
    assert data["ratio"] == (3 / 4, 4 / 3)
    assert [data[key] for key in ("flip", "magnitude", "erasing", "mixup", "cutmix")] == [
        *(0.5, 9, 0.25, 0.8, 1.0)
    ]


def test_every_published_recipe_is_in_the_table() -> None:
    others = {"swin_t_imagenette", "classifier_swin_t_finetune", "classifier_demo"}
    assert _recipes().keys() == _RELEASED.keys() | others
    for name in others:
        assert not find_recipe(name).published


def test_published_files_have_the_scores_of_their_recipes() -> None:
    for file in PUBLISHED.values():
        if file.task == "classification" and file.layout == "microsoft" and file.recipe:
            recipe = find_recipe(file.recipe)
            assert dict(recipe.published) == file.scores
            assert recipe.model.num_classes == file.num_classes


def test_the_cosine_is_half_way_down_in_the_middle() -> None:
    schedule = CosineSchedule(warmup=0.1, warmup_ratio=0.0, floor_ratio=0.2)
    factors = [schedule.factor(step, num_steps=100) for step in (0, 5, 10, 55, 100)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2])
    assert CosineSchedule(warmup=0.0).factor(0, num_steps=3) == 1.0
