"""Tokens of chosen stages, before the norms that a backbone's own maps have."""

from collections.abc import Collection, Iterable
from typing import cast

from torch import Tensor

from swin_dense.backbone import SwinStage, SwinTransformer
from swin_dense.windowing.token_maps import TokenMaps

STEM = -1  # the patch embedding, among the numbers of stages


def stage_outputs(
    backbone: SwinTransformer, pixels: Tensor, stages: Collection[int]
) -> dict[int, Tensor]:
    """Run a backbone up to the last stage that is asked for.

    Args:
        backbone: its norms are not used, so that it need not have any.
        pixels: `(B, 3, H, W)` float, normalised; any H and W from 1.
        stages: from 0; STEM is the patch embedding.

    Returns:
        Each one's `(B, H_i, W_i, C_i)` tokens, fine to coarse.

    Raises:
        ValueError: see `SwinTransformer.forward`.
    """
    backbone.check_pixels(pixels)
    outputs = {}
    maps: TokenMaps = backbone.patch_embed(pixels)  # (B, H/4, W/4, C)
    if STEM in stages:
        outputs[STEM] = maps.unpack()[0]
    for i, stage in enumerate(cast(Iterable[SwinStage], backbone.layers)):
        if i > max(stages):
            break
        maps = stage(maps)  # (B, H_i, W_i, C_i)
        if i in stages:
            outputs[i] = maps.unpack()[0]
        if i < max(stages) and stage.downsample is not None:
            maps = stage.downsample(maps)  # (B, H_i/2, W_i/2, 2*C_i)
    return outputs
