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
    waits for each box.

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
            samples = _sample_masks(
                probabilities[i : i + 1].float(), boxes[i : i + 1], (start, end), (top, bottom)
            )
            column, row = _find_edges((samples[0] >= threshold).T)
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
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # (n, 1) each
    x = torch.arange(*columns, device=boxes.device) + 0.5
    y = torch.arange(*rows, device=boxes.device) + 0.5
    # -1..1 across the box; 2 is well outside, which is where boxes without area have all pixels.
    x = torch.where(x2 > x1, (x - x1) / (x2 - x1) * 2 - 1, 2)  # (n, columns)
    y = torch.where(y2 > y1, (y - y1) / (y2 - y1) * 2 - 1, 2)  # (n, rows)
    shape = (len(boxes), y.shape[1], x.shape[1])
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], dim=3)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]  # (n, rows, columns)
