"""U-Net's architecture, read off its weights."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from swin_dense.checkpoints.architecture import count_numbers, read_shape
from swin_dense.heads.segmentation.unet.config import UNetConfig

_BLOCKS = r"decode_head\.blocks\.(\d+)\."


def is_unet(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a U-Net."""
    return count_numbers(state, _BLOCKS) > 0


def read_unet_config(state: Mapping[str, Tensor], released: UNetConfig) -> UNetConfig:
    """Read the head's sizes off the weights.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the weights are incomplete.
    """
    num_classes = read_shape(state, "decode_head.conv_seg.weight", rank=4)[0]
    widths = tuple(
        read_shape(state, f"decode_head.blocks.{i}.convs.0.conv.weight", rank=4)[0]
        for i in range(count_numbers(state, _BLOCKS))
    )
    return dataclasses.replace(released, num_classes=num_classes, decoder_channels=widths)
