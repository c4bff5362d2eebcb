"""Principal components of feature maps, for pictures and comparisons of cells.

Pearson 1901; as colours of dense features: Oquab et al. 2023 (DINOv2), figure 1.
"""

from collections.abc import Sequence

import numpy as np

_PERCENTILES = (1, 99)  # of a component, become black and white


def principal_components(maps: Sequence[np.ndarray], *, count: int) -> list[np.ndarray]:
    """The components in which the cells of some maps differ most.

    Args:
        maps: `(C, h, w)` floats each.
        count: of components.

    Returns:
        `(h, w, count)` float32 for each map; where there are fewer channels, the last are 0. Each
        component has a positive skew, so that the same features give the same colours.
    """
    cells = [np.asarray(m, np.float64).reshape(len(m), -1).T for m in maps]  # (h*w, C)
    mean = np.concatenate(cells).mean(0)
    covariance = sum((part - mean).T @ (part - mean) for part in cells)
    _, vectors = np.linalg.eigh(covariance)  # by rising variance
    vectors = vectors[:, ::-1][:, :count]  # (C, count)
    projected = [(part - mean) @ vectors for part in cells]  # (h*w, count)
    skew = (np.concatenate(projected) ** 3).sum(0)
    signs = np.where(skew < 0, -1.0, 1.0)
    missing = count - vectors.shape[1]
    return [
        np.pad(part * signs, ((0, 0), (0, missing))).reshape(*m.shape[1:], count).astype(np.float32)
        for part, m in zip(projected, maps, strict=True)
    ]


def as_colours(components: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first three components of some maps as red, green and blue.

    Args:
        components: `(h, w, at least 3)` each; all share one scale of colours.

    Returns:
        `(h, w, 3)` uint8 each; a component without differences is grey.
    """
    values = np.concatenate([part[..., :3].reshape(-1, 3) for part in components])
    lowest, highest = np.percentile(values, _PERCENTILES, axis=0)
    span = highest - lowest
    scale = np.divide(255, span, out=np.zeros(3), where=span > 1e-6 * np.abs(values).max(initial=0))
    grey = np.where(scale == 0, 127.5, 0)
    return [
        np.clip((part[..., :3] - lowest) * scale + grey, 0, 255).round().astype(np.uint8)
        for part in components
    ]


def as_directions(components: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Unit vectors of cells times 127, whose products are cosines: `(h, w, count)` int8 each."""
    directions = []
    for part in components:
        length = np.linalg.norm(part, axis=-1, keepdims=True)
        unit = np.divide(part, length, out=np.zeros_like(part), where=length > 0)
        directions.append((127 * unit).round().astype(np.int8))
    return directions
