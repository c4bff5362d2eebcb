"""The frame of every whole model: names, ids, the backbone of its config or one in its place."""

import pytest
import torch
from torch import nn

from swin_dense.backbone import SwinTransformer
from swin_dense.configs import SwinConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.whole_model import Model

TINY = SwinConfig(embed_dim=4, depths=(1, 1), num_heads=(1, 1), window_size=2, out_indices=(0, 1))
CONFIG = ModelConfig(backbone=TINY, num_classes=2)


class Stem(nn.Module):
    """The least that heads need of a backbone."""

    channels, strides = (4,), (4,)


def test_the_backbone_is_built_from_the_config() -> None:
    model = Model(CONFIG)
    assert isinstance(model.backbone, SwinTransformer)
    assert model.pyramid.channels == (4, 8)
    assert model.pyramid.strides == (4, 8)


def test_a_module_stands_in_for_the_backbone() -> None:
    stem = Stem()
    model = Model(CONFIG, backbone=stem)
    assert model.backbone is stem
    assert model.pyramid.channels == (4,)


def test_names_and_ids_are_kept_as_tuples() -> None:
    model = Model(CONFIG, class_names=["cat", "dog"], category_ids=[17, 18])
    assert model.class_names == ("cat", "dog")
    assert model.category_ids == (17, 18)
    assert Model(CONFIG).class_names is None


@pytest.mark.parametrize("options", [{"class_names": ["cat"]}, {"category_ids": [1, 2, 3]}])
def test_there_is_one_name_and_one_id_for_each_class(options: dict) -> None:
    with pytest.raises(ValueError, match=r"must have one entry for each of 2 classes, got [13]"):
        Model(CONFIG, **options)


def test_the_two_doors_are_a_subclass_to_fill() -> None:
    model = Model(CONFIG)
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(NotImplementedError):
        model([image], [None])
    with pytest.raises(NotImplementedError):
        model.predict([image])
