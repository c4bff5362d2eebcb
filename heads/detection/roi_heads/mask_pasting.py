"""Draw the masks of detections, each in its box, into the image: as bitmaps or as run lengths."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.detection.targets import RunLengths

PASTE_BYTES = 256 * 2**20
"""Bound on temporary memory while masks are pasted."""
_BYTES_PER_PIXEL = 16  # of the sampling grid (two float32), the samples and their copies
ONE_BY_ONE_DEVICES = ("cpu",)  # devices whose boxes can be read without waiting
CROSSING_PIXELS = 2**17
"""Pixels of a box from which the crossings are calculated, below which sampling is as fast."""
_CROSSING_ROWS = 4  # the same in rows of the image, a row of the mask
_CROSSING_MARGIN = 8 * torch.finfo(torch.float32).eps  # a mask row; rounding stays below 4 of them


@torch.no_grad()
def paste_masks(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], *, threshold: float = 0.5
) -> Tensor:
    """Paste the mask of each box into an image.

    Sampled at pixel centres, bilinear, nothing outside the box. On the CPU one box after the
    other, each where it is; elsewhere in chunks of bounded memory, without waiting for the device.

    Args:
        probabilities: `(N, m, m)` in 0..1.
        boxes: `(N, 4)`, xyxy, px of the image; one without area gives an empty mask.
        size: (height, width) of the image.
        threshold: smallest probability of a pixel of the mask.

    Returns:
        `(N, height, width)` bool.
    """
    height, width = size
    num = len(boxes)
    pasted = torch.zeros(num, height, width, dtype=torch.bool, device=boxes.device)
    if boxes.device.type in ONE_BY_ONE_DEVICES:
        regions = [
            (slice(i, i + 1), left, start, right, end)
            for i, (left, top, right, bottom) in enumerate(_find_regions(boxes, size))
            for start, end in _split(top, bottom, across=right - left)
        ]
    else:
        chunk = max(1, PASTE_BYTES // (_BYTES_PER_PIXEL * height * width))
        regions = [(slice(i, i + chunk), 0, 0, width, height) for i in range(0, num, chunk)]
    for part, left, top, right, bottom in regions:
        samples = _sample_masks(
            probabilities[part].float(), boxes[part], (left, right), (top, bottom)
        )
        pasted[part, top:bottom, left:right] = samples >= threshold
    return pasted


@torch.no_grad()
def paste_run_lengths(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], *, threshold: float = 0.5
) -> list[RunLengths]:
    """Paste as `paste_masks`, to the same pixels, without ever making a bitmap of the image.

    Memory is bounded, whatever the size of the image and of the boxes. On an accelerator the host
    waits for each box. In boxes much larger than their masks, the ends of the runs are calculated;
    only the pixels next to them are sampled.

    Args:
        probabilities: `(N, m, m)` in 0..1.
        boxes: `(N, 4)`, xyxy, px of the image; one without area gives an empty mask.
        size: (height, width) of the image.
        threshold: smallest probability of a pixel of the mask.

    Returns:
        One mask for each box.
    """
    height, width = size
    masks: list[RunLengths] = []
    for i, (left, top, right, bottom) in enumerate(_find_regions(boxes, size)):
        edges = [torch.zeros(0, dtype=torch.int64, device=boxes.device)]
        for start, end in _split(left, right, across=bottom - top):
            mask, box = probabilities[i : i + 1].float(), boxes[i : i + 1]
            found = None
            if _has_far_crossings(end - start, bottom - top, side=mask.shape[1]):
                found = _calculate_edges(mask, box, (start, end), (top, bottom), threshold)
            if found is None:
                samples = _sample_masks(mask, box, (start, end), (top, bottom))
                found = _find_edges((samples[0] >= threshold).T)
            column, row = found
            edges.append((start + column) * height + top + row)
        counts = _count_runs(torch.cat(edges).cpu(), height * width)
        masks.append({"size": [height, width], "counts": counts})
    return masks


def _find_regions(boxes: Tensor, size: tuple[int, int]) -> list[list[int]]:
    """Left, top, right and bottom of the part of the image that each box can have pixels in."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    around = torch.cat([boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1], dim=1)
    return around.clamp(min=0).minimum(limits).int().tolist()


def _split(start: int, end: int, *, across: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, of `across` columns, that are sampled within the bound on memory."""
    step = max(1, PASTE_BYTES // (_BYTES_PER_PIXEL * max(1, across)))
    for first in range(start, end, step):
        yield first, min(first + step, end)


def _find_edges(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Where the runs of `(columns, rows)` bool begin and end, in turn: column and row of each."""
    padded = F.pad(columns.contiguous(), (1, 1))
    column, row = (padded[:, 1:] != padded[:, :-1]).nonzero(as_tuple=True)
    return column, row


def _has_far_crossings(num_columns: int, num_rows: int, *, side: int) -> bool:
    """Tell whether calculating the crossings is worth more calls than sampling all pixels."""
    return num_columns * num_rows >= CROSSING_PIXELS and num_rows >= _CROSSING_ROWS * side


def _calculate_edges(
    mask: Tensor, box: Tensor, columns: tuple[int, int], rows: tuple[int, int], threshold: float
) -> tuple[Tensor, Tensor] | None:
    """Where runs begin and end, as `_find_edges` of the sampled mask gives it.

    Down a column of the image, the samples between two rows of the mask are on a straight line, so
    that it crosses the threshold once at most. Pixels so close to a crossing that rounding could
    decide are sampled.

    Args:
        mask: `(1, m, m)` float32.
        box: `(1, 4)`.
        columns: range of the image.
        rows: range of the image.
        threshold: smallest probability of a pixel of the mask.

    Returns:
        Column and row of each edge in turn, counted in the ranges; None where so many pixels are
        close to the threshold that sampling all is no slower.
    """
    side = mask.shape[1]
    margin = _CROSSING_MARGIN * side
    x, y = (
        ((position[0].double() + 1) * (side / 2) - 0.5).clamp(-1, side)
        for position in _box_positions(box, columns, rows)
    )
    num_columns, num_rows = len(x), len(y)
    # The mask's rows, with one of zeros before and behind, at each column, minus the threshold.
    padded = F.pad(mask[0].double(), (1, 1, 1, 1))  # (m+2, m+2)
    cell = x.floor().clamp(max=side - 1)
    weight = x - cell
    left = cell.long() + 1
    values = padded[:, left] * (1 - weight) + padded[:, left + 1] * weight - threshold  # (m+2, C)
    before, after = values[:-1].T, values[1:].T  # (C, m+1), ends of each column's intervals
    is_clear = (before.minimum(after) > margin) | (before.maximum(after) < -margin)
    column, interval = (~is_clear).nonzero(as_tuple=True)  # (K,) in turn
    knots = torch.arange(side, device=y.device, dtype=y.dtype)
    bounds = F.pad(torch.searchsorted(y, knots), (1, 1))  # (m+2,) first row of each interval
    bounds[-1] = num_rows
    first, behind = bounds[interval], bounds[interval + 1]
    start, end = before[column, interval], after[column, interval]
    rises = end >= start
    slope = (end - start).abs().clamp(min=torch.finfo(y.dtype).tiny)
    from_below = torch.where(rises, start, -start)
    crossings = [interval - 1 + (offset - from_below) / slope for offset in (-margin, margin)]
    close = torch.searchsorted(y, crossings[0]).clamp(first, behind)
    clear = torch.searchsorted(y, crossings[1], right=True).clamp(close, behind)
    num_close = clear - close  # (K,) pixels to be sampled
    total = int(num_close.sum())
    if total * _CROSSING_ROWS > num_columns * num_rows:
        return None
    owner = torch.repeat_interleave(num_close)  # (total,)
    close_row = torch.arange(total, device=y.device) - (num_close.cumsum(0) - num_close)[owner]
    close_row += close[owner]
    close_column = column[owner]
    samples = _sample_pixels(mask, box, columns[0] + close_column, rows[0] + close_row)
    # Pieces of columns that are all in or all out: column, row they begin at, rank, state. Of
    # those that begin at one pixel the last is the one that has it.
    every = torch.arange(num_columns, device=y.device)
    foot = torch.full_like(every, num_rows)
    rank = 4 * interval
    pieces = (
        (every, torch.zeros_like(every), torch.full_like(every, -1), before[:, 0] > 0),
        (column, first, rank, ~rises),
        (close_column, close_row, rank[owner] + 1, samples >= threshold),
        (column, clear, rank + 2, rises),
        (column, behind, rank + 3, end > 0),
        (every, foot, torch.full_like(every, 4 * side + 4), torch.zeros_like(every).bool()),
    )
    at_column, at_row, ranks, states = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    place = at_column * (num_rows + 1) + at_row
    order = (place * (4 * side + 6) + ranks + 1).argsort()
    place, states = place[order], states[order]
    is_last = F.pad(place[1:] != place[:-1], (0, 1), value=True)
    place, states = place[is_last], states[is_last]
    edges = place[states != F.pad(states[:-1], (1, 0))]
    return edges // (num_rows + 1), edges % (num_rows + 1)


def _count_runs(edges: Tensor, num_pixels: int) -> list[int]:
    """Run lengths from the places where runs begin and end, down the columns of the image."""
    # A run that goes on from the foot of a column to the head of the next is one.
    touches = edges[1:] == edges[:-1]
    is_edge = torch.ones_like(edges, dtype=torch.bool)
    is_edge[1:] &= ~touches
    is_edge[:-1] &= ~touches
    ends = edges.new_tensor([0]), edges.new_tensor([num_pixels])
    counts: list[int] = edges[is_edge].diff(prepend=ends[0], append=ends[1]).tolist()
    return counts[:-1] if counts[-1] == 0 else counts


def _sample_masks(
    masks: Tensor, boxes: Tensor, columns: tuple[int, int], rows: tuple[int, int]
) -> Tensor:
    """Sample `(n, m, m)` masks in their boxes at a range of pixels: `(n, rows, columns)`."""
    x, y = _box_positions(boxes, columns, rows)
    shape = (len(boxes), y.shape[1], x.shape[1])
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], dim=3)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]  # (n, rows, columns)


def _sample_pixels(mask: Tensor, box: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Sample a `(1, m, m)` mask in its box at single pixels of the image, `(P,)` each: `(P,)`."""
    x, y = _scale_to_boxes(box, column + 0.5, row + 0.5)
    grid = torch.stack([x, y], dim=2)[:, None]  # (1, 1, P, 2)
    return F.grid_sample(mask[:, None], grid, align_corners=False)[0, 0, 0]


def _box_positions(
    boxes: Tensor, columns: tuple[int, int], rows: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Places of the pixels of a range in each box, `(n, columns)` and `(n, rows)`."""
    x = torch.arange(*columns, device=boxes.device) + 0.5
    y = torch.arange(*rows, device=boxes.device) + 0.5
    return _scale_to_boxes(boxes, x, y)


def _scale_to_boxes(boxes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Px of the image, `(C,)` and `(R,)`, as -1..1 across each box, `(n, C)` and `(n, R)`."""
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # (n, 1) each
    # 2 is well outside, which is where boxes without area have all pixels.
    return (
        torch.where(x2 > x1, (x - x1) / (x2 - x1) * 2 - 1, 2),
        torch.where(y2 > y1, (y - y1) / (y2 - y1) * 2 - 1, 2),
    )
