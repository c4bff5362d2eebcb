"""The recipe that fits the data: with masks and without."""

from dataclasses import replace

import pytest

from swin_dense.tools.recipes.masks import check_masks, find_counterpart
from swin_dense.tools.recipes.table import RECIPES, find_recipe

_BOXES = {"boxes": 12, "masks": 0}
_HALF = {"boxes": 12, "masks": 6}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("mask_rcnn_swin_t_finetune", "faster_rcnn_swin_t_finetune"),
        ("mask_rcnn_demo", "faster_rcnn_demo"),
        ("cascade_mask_rcnn_swin_b_coco_3x", "cascade_rcnn_swin_b_coco_3x"),
        ("mask_rcnn_swin_t_mmdet_coco_1x", "faster_rcnn_swin_t_finetune"),
    ],
)
def test_masks_cannot_be_learned_from_boxes_and_the_recipe_that_can_is_named(
    name: str, other: str
) -> None:
    recipe = find_recipe(name)
    message = rf"{name} must have masks to learn from, got 12 boxes and no mask in train2017 of "
    with pytest.raises(ValueError, match=rf"{message}.*; use {other}, which learns boxes alone"):
        check_masks(recipe, _BOXES)
    assert check_masks(recipe, _HALF) == ""


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("faster_rcnn_swin_t_coco_1x", "mask_rcnn_swin_t_coco_1x"),
        ("cascade_rcnn_swin_t_coco_3x", "cascade_mask_rcnn_swin_t_coco_3x"),
        ("cascade_rcnn_swin_t_finetune", "mask_rcnn_swin_t_finetune"),
    ],
)
def test_masks_that_are_not_learned_are_remarked_on(name: str, other: str) -> None:
    recipe = find_recipe(name)
    assert check_masks(recipe, _BOXES) == ""
    expected = f"6 of 12 objects have masks, which {name} does not learn; {other} does"
    assert check_masks(recipe, _HALF) == expected


def test_a_model_with_masks_in_a_recipe_that_reads_boxes_alone_is_refused() -> None:
    recipe = find_recipe("faster_rcnn_swin_t_finetune")
    mixed = replace(recipe, model=find_recipe("mask_rcnn_swin_t_finetune").model)
    with pytest.raises(
        ValueError, match=r"must have a model without masks.*use mask_rcnn_swin_t_f"
    ):
        check_masks(mixed, _HALF)


def test_other_tasks_are_not_asked_for_masks() -> None:
    assert check_masks(find_recipe("upernet_demo"), {}) == ""


def test_every_recipe_without_masks_has_one_with_masks() -> None:
    for name in RECIPES:
        if name.startswith(("faster_rcnn", "cascade_rcnn")):
            assert find_counterpart(name, has_masks=True) in RECIPES


def test_mask2former_of_instances_must_have_masks() -> None:
    recipe = find_recipe("mask2former_swin_t_instance_finetune")
    with pytest.raises(ValueError, match="must have masks to learn from, got 3 boxes and no mask"):
        check_masks(recipe, {"boxes": 3, "masks": 0})
    assert check_masks(recipe, {"boxes": 3, "masks": 2}) == ""
    assert check_masks(find_recipe("mask2former_demo"), {"segments": 3}) == ""
