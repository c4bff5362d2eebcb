"""Flags of a training: what is refused, and what they do to the recipe."""

from dataclasses import replace
from typing import Any

import pytest

from swin_dense.tools.parallel import heed_launcher
from swin_dense.tools.recipes import find_recipe
from swin_dense.tools.train_options import Options, with_scaled_rate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 0}, "--keep must be at least 1, got 0"),
        ({"save_minutes": -1.0}, "--save-minutes must be at least 0, got -1.0"),
        ({"save_every": -1}, "--save-every must be at least 0, got -1"),
        ({"ema": 1.0}, "--ema must be between 0 and 1, got 1.0"),
    ],
)
def test_options_are_checked_at_the_door(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(recipe=find_recipe("mask_rcnn_demo"), **changes)


def test_the_rate_is_scaled_by_the_batch_size_of_the_named_recipe() -> None:
    recipe = find_recipe("mask_rcnn_swin_t_coco_1x")
    assert recipe.batch_size == 16
    smaller = replace(recipe, batch_size=4)
    options = with_scaled_rate(Options(recipe=smaller, scale_lr=True))
    assert options.recipe.optimizer.lr == pytest.approx(recipe.optimizer.lr / 4)
    assert with_scaled_rate(options) == options
    assert with_scaled_rate(Options(recipe=smaller)).recipe == smaller


def test_the_launchers_wish_to_shard_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(recipe=find_recipe("mask_rcnn_demo"))
    assert heed_launcher(options) == options
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert heed_launcher(options).fsdp
    assert not heed_launcher(options).fsdp  # accelerate itself must not see it
