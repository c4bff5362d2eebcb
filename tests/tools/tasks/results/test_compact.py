"""Detections without bitmaps: the same as with them."""

from dataclasses import replace

import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.datasets.masks import compress_masks
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.tasks.results.compact import keep_detections, predict_compactly


def test_run_lengths_are_those_of_the_bitmaps_and_what_scores_less_is_left_out() -> None:
    torch.manual_seed(0)
    config = find_recipe("mask_rcnn_demo").model
    backbone = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    box = replace(config.box, score_threshold=0.0)
    model = create_model(replace(config, backbone=backbone, box=box), num_classes=2)
    images = [torch.full((3, 64, 96), 90, dtype=torch.uint8)]
    (plain,) = model.predict(images, original_sizes=[(100, 150)])
    for threshold in (0.0, float(plain["scores"].median())):
        (compact,) = predict_compactly(model, images, [(100, 150)], score_threshold=threshold)
        kept = plain["scores"] >= threshold
        assert len(kept) > 1
        assert bool(kept.all()) == (threshold == 0)
        for name in ("boxes", "scores", "labels"):
            assert torch.equal(compact[name], plain[name][kept])
        assert compact["masks"] == compress_masks(plain["masks"][kept])
    for wrong, message in (({"masks": "rle"}, "'rle'"), ({"score_threshold": 2}, "got 2")):
        with pytest.raises(ValueError, match=message):
            model.predict(images, **wrong)


def test_detections_are_chosen_by_a_mask_or_by_indices() -> None:
    result = {"scores": torch.tensor([0.1, 0.2, 0.3]), "masks": ["a", "b", "c"]}
    kept = keep_detections(result, torch.tensor([True, False, True]))
    assert kept["masks"] == ["a", "c"]
    assert torch.equal(kept["scores"], torch.tensor([0.1, 0.3]))
    assert keep_detections(result, torch.tensor([2, 0]))["masks"] == ["c", "a"]
    assert keep_detections(result, torch.zeros(3, dtype=torch.bool))["masks"] == []
