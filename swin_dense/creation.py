"""Backbones by name or by config, with or without weights."""

from collections.abc import Mapping
from os import PathLike

from torch import Tensor

from swin_dense.backbone import SWIN_VARIANTS, SwinConfig, SwinTransformer
from swin_dense.checkpoints.loading import load_weights


def create_backbone(
    variant: str | SwinConfig,
    *,
    weights: str | PathLike[str] | Mapping[str, Tensor] | None = None,
) -> SwinTransformer:
    """Build a backbone.

    Args:
        variant: a name in `SWIN_VARIANTS`, or a config. To vary one: `dataclasses.replace`.
        weights: a published file or a state dict, see `load_weights`; None for random values.

    Returns:
        The backbone in training mode.

    Raises:
        ValueError: unknown variant, or the weights do not fit.
        FileNotFoundError: there is no such file.
    """
    if isinstance(variant, str):
        if variant not in SWIN_VARIANTS:
            choices = ", ".join(SWIN_VARIANTS)
            raise ValueError(f"unknown variant {variant!r}; choose one of {choices}")
        variant = SWIN_VARIANTS[variant]
    backbone = SwinTransformer(variant)
    if weights is not None:
        load_weights(backbone, weights)
    return backbone
