"""Draw the masks of detections, each in its box, into the image."""

import torch
import torch.nn.functional as F
from torch import Tensor

PASTE_BYTES = 256 * 2**20
"""Bound on temporary memory while masks are pasted on an accelerator."""
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
        limits = boxes.new_tensor([width, height, width, height])
        around = torch.cat([boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1], dim=1)
        corners = around.clamp(min=0).minimum(limits).int().tolist()
        regions = [(slice(i, i + 1), *corner) for i, corner in enumerate(corners)]
    else:
        chunk = max(1, PASTE_BYTES // (_BYTES_PER_PIXEL * height * width))
        regions = [(slice(i, i + chunk), 0, 0, width, height) for i in range(0, num, chunk)]
    for part, left, top, right, bottom in regions:
        samples = _sample_masks(
            probabilities[part].float(), boxes[part], (left, right), (top, bottom)
        )
        pasted[part, top:bottom, left:right] = samples >= threshold
    return pasted


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
