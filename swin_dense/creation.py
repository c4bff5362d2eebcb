"""Backbones by name or by config, with or without weights; and every kind of config by its name.

To add a kind: a subclass of `BackboneConfig`, and an entry in `BACKBONE_KINDS`, by which files that
hold such a backbone are read.
"""

import dataclasses
from collections.abc import Mapping
from os import PathLike
from typing import overload

from torch import Tensor, nn

from swin_dense.adapters.timm_backbone import TimmConfig
from swin_dense.backbone import SWIN_VARIANTS, SwinConfig, SwinTransformer
from swin_dense.checkpoints.loading import load_weights
from swin_dense.protocol import BackboneConfig

BACKBONE_KINDS: dict[str, type[BackboneConfig]] = {
    config.kind: config for config in (SwinConfig, TimmConfig)
}

Weights = str | PathLike[str] | Mapping[str, Tensor] | None


@overload
def create_backbone(variant: str | SwinConfig, *, weights: Weights = None) -> SwinTransformer: ...
@overload
def create_backbone(variant: BackboneConfig, *, weights: Weights = None) -> nn.Module: ...
def create_backbone(variant: str | BackboneConfig, *, weights: Weights = None) -> nn.Module:
    """Build a backbone.

    Args:
        variant: a name in `SWIN_VARIANTS`, or a config of any kind. To vary one:
            `dataclasses.replace`.
        weights: a published file or a state dict, see `load_weights`; None for random values.

    Returns:
        The backbone, a `protocol.Backbone`, in training mode.

    Raises:
        ValueError: unknown variant, or the weights do not fit.
        FileNotFoundError: there is no such file.
    """
    if isinstance(variant, str):
        if variant not in SWIN_VARIANTS:
            choices = ", ".join(SWIN_VARIANTS)
            raise ValueError(f"unknown variant {variant!r}; choose one of {choices}")
        variant = SWIN_VARIANTS[variant]
    if weights is not None:
        variant = variant.without_pretrained()
    backbone = variant.build()
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def find_backbone(name: str) -> BackboneConfig:
    """Config of a backbone by the name that flags give it.

    Args:
        name: a name in `SWIN_VARIANTS`, or `KIND:NAME` for a kind of config whose one required
            field is a name, such as `timm:convnext_tiny`.

    Raises:
        ValueError: there is no such variant or kind.
    """
    if name in SWIN_VARIANTS:
        return SWIN_VARIANTS[name]
    kind, colon, inner = name.partition(":")
    named = {
        kind: config
        for kind, config in BACKBONE_KINDS.items()
        if any(field.name == "name" for field in dataclasses.fields(config))
    }
    if colon and kind in named:
        return named[kind](name=inner)  # type: ignore[call-arg]
    choices = ", ".join([*SWIN_VARIANTS, *(f"{kind}:NAME" for kind in named)])
    raise ValueError(f"unknown backbone {name!r}; choose one of {choices}")
