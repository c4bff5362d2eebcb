"""Positions of the cells of a map as sines and cosines (Carion et al. 2020, Section A.4)."""

import math

import torch
from torch import Tensor

_TEMPERATURE = 10_000
_EPSILON = 1e-6  # of the released models, in whose sines it takes part


def sine_encoding(size: tuple[int, int], channels: int, *, device: torch.device) -> Tensor:
    """Encode where in its map each cell stands.

    Row i of H, counted from 1, stands at 2 pi i / H, and columns likewise. Channel k of n stands
    for the wavelength 2 pi 10000**(2 floor(k / 2) / n); even ones are sines, odd ones cosines.

    Args:
        size: height and width of the map, in cells.
        channels: of which the first half encodes the row, the second the column; divisible by 4.
        device: where to.

    Returns:
        `(H*W, channels)` float32.
    """
    height, width = size
    rows, columns = (_encode_axis(length, channels // 2, device) for length in size)
    return torch.cat(
        [
            rows[:, None].expand(height, width, -1),
            columns[None].expand(height, width, -1),
        ],
        dim=-1,
    ).flatten(0, 1)  # (H*W, channels)


def _encode_axis(length: int, channels: int, device: torch.device) -> Tensor:
    """`(length, channels)` of the positions along one axis."""
    places = torch.arange(1, length + 1, device=device, dtype=torch.float32)
    angles = places / (length + _EPSILON) * (2 * math.pi)  # (length,)
    pairs = torch.arange(channels // 2, device=device, dtype=torch.float32)
    phases = angles[:, None] / _TEMPERATURE ** (2 * pairs / channels)  # (length, channels/2)
    return torch.stack([phases.sin(), phases.cos()], dim=-1).flatten(1)  # (length, channels)
