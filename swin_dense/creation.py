"""Backbones by name or by config, with or without weights."""

from collections.abc import Mapping
from os import PathLike
from typing import overload

from torch import Tensor, nn

from swin_dense.backbone import SwinMLP, SwinTransformer
from swin_dense.checkpoints.loading import load_weights
from swin_dense.configs import BACKBONE_VARIANTS, BackboneConfig, SwinConfig, SwinMLPConfig

Weights = str | PathLike[str] | Mapping[str, Tensor] | None


@overload
def create_backbone(variant: str | SwinConfig, *, weights: Weights = None) -> SwinTransformer: ...
@overload
def create_backbone(variant: SwinMLPConfig, *, weights: Weights = None) -> SwinMLP: ...
@overload
def create_backbone(variant: BackboneConfig, *, weights: Weights = None) -> nn.Module: ...
def create_backbone(variant: str | BackboneConfig, *, weights: Weights = None) -> nn.Module:
    """Build a backbone.

    Args:
        variant: a name in `BACKBONE_VARIANTS`, or a config of any kind. To vary one:
            `dataclasses.replace`.
        weights: a published file or a state dict, see `load_weights`; None for random values.

    Returns:
        The backbone, a `protocol.Backbone`, in training mode.

    Raises:
        ValueError: unknown variant, or the weights do not fit.
        FileNotFoundError: there is no such file.
    """
    if isinstance(variant, str):
        if variant not in BACKBONE_VARIANTS:
            choices = ", ".join(BACKBONE_VARIANTS)
            raise ValueError(f"unknown variant {variant!r}; choose one of {choices}")
        variant = BACKBONE_VARIANTS[variant]
    if weights is not None:
        variant = variant.without_pretrained()
    backbone = variant.build()
    if weights is not None:
        load_weights(backbone, weights)
    return backbone
