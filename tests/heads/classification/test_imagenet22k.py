"""ImageNet-1K's classes in a head of ImageNet-22K's."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from swin_dense.checkpoints.loading import initialise
from swin_dense.configs import SwinConfig
from swin_dense.heads import ClassifierConfig, create_model
from swin_dense.heads.classification.imagenet22k import imagenet1k_rows

_CONFIG = ClassifierConfig(
    backbone=SwinConfig(
        embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=2, out_indices=(1,)
    )
)


def test_the_rows_are_those_of_the_published_map() -> None:
    pytest.importorskip("timm", reason="needs timm")
    rows = imagenet1k_rows()
    assert len(set(rows)) == len(rows) == 1000
    assert max(rows) == 21817
    assert rows[:5] == (359, 368, 460, 475, 486)
    assert rows[849:852] == (11137, 5564, 11168)  # the teddy bear between two neighbours
    assert sum(after < before for before, after in pairwise(rows)) == 1


def test_fine_tuning_from_22k_classes_keeps_the_rows_of_the_1000() -> None:
    pytest.importorskip("timm", reason="needs timm")
    model = create_model(replace(_CONFIG, num_classes=1000))
    source = create_model(replace(_CONFIG, num_classes=21841)).state_dict()
    initialise(model, source)
    rows = torch.tensor(imagenet1k_rows())
    assert torch.equal(model.head.weight, source["head.weight"][rows])
    assert torch.equal(model.head.bias, source["head.bias"][rows])
    other = create_model(replace(_CONFIG, num_classes=999))
    with pytest.raises(ValueError, match="depend on the number of classes"):
        initialise(other, source)
