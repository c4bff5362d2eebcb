"""Backbones by name and by config of any kind."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import swin_dense as sd
from swin_dense.configs import BACKBONE_KINDS, find_backbone
from swin_dense.creation import create_backbone

TINY = sd.SwinConfig(embed_dim=4, depths=(1, 1), num_heads=(1, 1), window_size=2, out_indices=(0,))


@dataclass(frozen=True, kw_only=True)
class PoolingConfig(sd.BackboneConfig):
    """Mean pooling, to be named in flags."""

    kind: ClassVar[str] = "pooling"

    name: str

    @property
    def title(self) -> str:
        return f"pooling {self.name}"

    def build(self) -> nn.Module:
        return nn.AvgPool2d(4)


def test_every_kind_of_config_is_known_by_its_name() -> None:
    assert all(kind == config.kind for kind, config in BACKBONE_KINDS.items())
    assert BACKBONE_KINDS["swin"] is sd.SwinConfig
    assert BACKBONE_KINDS["timm"] is sd.TimmConfig


def test_variants_have_names_for_flags() -> None:
    for name, config in sd.BACKBONE_VARIANTS.items():
        assert find_backbone(name) == config
        assert config.title == name


def test_a_kind_with_names_is_found_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONE_KINDS, "pooling", PoolingConfig)
    assert find_backbone("pooling:mean") == PoolingConfig(name="mean")
    with pytest.raises(ValueError, match=r"unknown backbone 'poling:mean'; .*pooling:NAME"):
        find_backbone("poling:mean")


@pytest.mark.parametrize("name", ["swin_x", "swin:swin_t", "timm", ""])
def test_names_that_mean_nothing_list_those_that_do(name: str) -> None:
    with pytest.raises(ValueError, match=r"choose one of swin_t, .*timm:NAME"):
        find_backbone(name)


def test_a_config_of_any_kind_is_built() -> None:
    assert isinstance(create_backbone(PoolingConfig(name="mean")), nn.AvgPool2d)
    assert create_backbone(TINY).config == TINY


def test_weights_go_into_the_backbone_that_was_built() -> None:
    torch.manual_seed(0)
    first = create_backbone(TINY)
    second = create_backbone(TINY, weights=first.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    wider = dataclasses.replace(TINY, embed_dim=8)
    with pytest.raises(ValueError, match="does not fit"):
        create_backbone(wider, weights=first.state_dict())
