"""Parts of every recipe: a length, and a task that follows from its data."""

from dataclasses import replace

import pytest

from swin_dense.tools.recipes.table import find_recipe


def test_a_length_in_steps_goes_before_epochs() -> None:
    recipe = replace(find_recipe("mask_rcnn_swin_t_coco_1x"), steps=200)
    assert recipe.num_steps(7330) == 200


@pytest.mark.parametrize("field", ["batch_size", "epochs", "steps"])
def test_lengths_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be at least 1, got 0"):
        replace(find_recipe("mask_rcnn_demo"), **{field: 0})


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        replace(find_recipe("mask_rcnn_demo"), seed=-1)


def test_the_task_is_that_of_the_data() -> None:
    assert find_recipe("mask_rcnn_demo").task == "detection"
    assert find_recipe("upernet_demo").task == "segmentation"
