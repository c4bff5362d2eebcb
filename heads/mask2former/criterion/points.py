"""Values of maps and of bitmaps at points, and the points at which training compares masks.

Points are (x, y) in 0..1 of the frame that the network works in: the image with its padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.decoders.weighted_rows import sum_rows


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of `(N, C, H, W)` maps at `(N, P, 2)` points, 0 beyond: `(N, C, P)`."""
    return F.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False)[..., 0]


def sample_bitmaps(
    masks: Tensor, points: Tensor, frame: tuple[int, int], *, which: Tensor | None = None
) -> Tensor:
    """Bilinear values of masks at points, 0 beyond the image.

    Reads four pixels a point instead of making floats of all.

    Args:
        masks: `(G, H, W)` bool or uint8, of the image without its padding.
        points: `(N, P, 2)`, or `(1, P, 2)` for the same points in all masks.
        frame: height and width that points are in, px; at least those of the masks.
        which: `(N,)` int64, the mask that each row of points is for; None: all, in order.

    Returns:
        `(N, P)` float32.
    """
    num, height, width = masks.shape
    if which is None:
        which = torch.arange(num, device=masks.device)
    flat, first = masks.flatten(), which[:, None] * (height * width)  # (N, 1)
    total = points.new_zeros(len(which), points.shape[1])
    for pixels, shares in _corners(points, frame, (height, width)):  # (N or 1, P) each
        total += flat[first + pixels] * shares
    return total


@torch.no_grad()
def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of `(M, H, W)` float32 features at `(P, 2)` points, 0 beyond: `(P, M)`.

    On the CPU the features of a cell are read as a whole: ten times as fast as `grid_sample`.
    """
    if features.device.type != "cpu":
        return sample_maps(features[None], points[None])[0].T
    corners = list(_corners(points, features.shape[1:], features.shape[1:]))
    cells, shares = (torch.stack(parts, dim=-1) for parts in zip(*corners, strict=True))  # (P, 4)
    return sum_rows(features.flatten(1).T.contiguous(), cells, shares)


def _corners(
    points: Tensor, frame: Sequence[int], size: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The four cells around `(..., 2)` points of a frame, as int64 within a map of another size
    at the frame's top left, row by row, and the share of each: 0 of those beyond the map."""
    height, width = size
    x, y = points[..., 0] * frame[1] - 0.5, points[..., 1] * frame[0] - 0.5
    left, top = x.floor(), y.floor()
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            cells = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
            yield cells, share_x * share_y * is_inside


@dataclass(frozen=True)
class SetPoints:
    """Points for one set of predictions.

    Attributes:
        matching: for each image `(1, P, 2)`, at which every query is compared with every object.
        candidates: `(pairs, oversample_ratio * P, 2)` of all images, to be chosen from.
        uniform: `(pairs, P - number of chosen ones, 2)`.
    """

    matching: list[Tensor]
    candidates: Tensor
    uniform: Tensor


def draw_points(
    num_sets: int, num_pairs: list[int], config: Mask2FormerConfig, *, device: torch.device
) -> list[SetPoints]:
    """Draw the random points of a training step, all before anything is compared.

    Shapes and order are those of the released code (the last layer first), so that one seed gives
    the same points there.

    Args:
        num_sets: sets of predictions.
        num_pairs: for each image its pairs of query and object.
        config: its numbers of points.
        device: where to.
    """
    num_candidates, num_uncertain = _num_candidates(config), _num_uncertain(config)
    pairs, rest = sum(num_pairs), config.num_points - num_uncertain
    return [
        SetPoints(
            matching=[torch.rand(1, config.num_points, 2, device=device) for _ in num_pairs],
            candidates=torch.rand(pairs, num_candidates, 2, device=device),
            uniform=torch.rand(pairs, rest, 2, device=device)
            if rest
            else _no_points(pairs, device),
        )
        for _ in range(num_sets)
    ]


@torch.no_grad()
def choose_uncertain(
    logits: Tensor, candidates: Tensor, uniform: Tensor, config: Mask2FormerConfig
) -> Tensor:
    """Choose the points at which masks are least certain (Kirillov et al. 2020, PointRend).

    Args:
        logits: `(N, H, W)`.
        candidates: `(N, oversample_ratio * P, 2)`; those with logits nearest to 0 are chosen.
        uniform: `(N, n, 2)`, which are taken as they are.
        config: its numbers of points.

    Returns:
        `(N, P, 2)`.
    """
    certainty = sample_maps(logits[:, None], candidates)[:, 0].abs()  # (N, candidates)
    chosen = certainty.topk(_num_uncertain(config), dim=1, largest=False).indices
    return torch.cat([candidates.take_along_dim(chosen[..., None], 1), uniform], dim=1)


def _num_candidates(config: Mask2FormerConfig) -> int:
    return int(config.num_points * config.oversample_ratio)


def _num_uncertain(config: Mask2FormerConfig) -> int:
    return int(config.importance_ratio * config.num_points)


def _no_points(num: int, device: torch.device) -> Tensor:
    return torch.empty(num, 0, 2, device=device)
