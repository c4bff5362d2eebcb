"""UPerNet's architecture, read off its weights."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from swin_dense.checkpoints.architecture import count_numbers, read_shape
from swin_dense.heads.segmentation.unet.architecture import is_unet
from swin_dense.heads.segmentation.uper.config import UPerNetConfig


def is_upernet(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a UPerNet."""
    return any(key.startswith("decode_head.") for key in state) and not is_unet(state)


def read_upernet_config(state: Mapping[str, Tensor], released: UPerNetConfig) -> UPerNetConfig:
    """Read the heads' sizes off the weights.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the weights are incomplete, or of parts that are not known here.
    """
    num_classes, channels, _, _ = read_shape(state, "decode_head.conv_seg.weight", rank=4)
    num_scales = count_numbers(state, r"decode_head\.psp_modules\.(\d+)\.")
    scales = released.pool_scales
    if num_scales != len(scales):
        raise ValueError(
            f"pyramid pooling must have {len(scales)} grids {scales}, got {num_scales}; "
            "the weights do not tell their sizes"
        )
    has_auxiliary = any(key.startswith("auxiliary_head.") for key in state)
    auxiliary_key = "auxiliary_head.convs.0.conv.weight"
    return dataclasses.replace(
        released,
        num_classes=num_classes,
        decoder_channels=channels,
        auxiliary_channels=read_shape(state, auxiliary_key, rank=4)[0] if has_auxiliary else None,
    )
