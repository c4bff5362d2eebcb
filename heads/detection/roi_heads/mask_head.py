"""Mask head: the outline of each detected object (He et al. 2017, Mask R-CNN)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from swin_dense.heads.conv_block import ConvBlock
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.losses import mask_loss
from swin_dense.heads.detection.roi_heads.box_head import Detections
from swin_dense.heads.detection.roi_heads.roi_pool import boxes_to_rois, pool_rois

_PASTE_BYTES = 256 * 2**20
"""Bound on temporary memory while masks are pasted on an accelerator."""
_BYTES_PER_PIXEL = 16  # of the sampling grid (two float32), the samples and their copies
_ONE_BY_ONE = ("cpu",)  # devices whose boxes can be read without waiting


class MaskHead(nn.Module):
    """Convolutions, a doubling of resolution, then one mask per class.

    Args:
        in_channels: channels of the pooled features.
        num_classes: classes K.
        num_convs: 3 x 3 convolutions.
        channels: their width.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, num_convs: int = 4, channels: int = 256
    ) -> None:
        super().__init__()
        widths = [in_channels, *[channels] * num_convs]
        self.convs = nn.ModuleList(
            ConvBlock(width, channels, kernel_size=3, relu=True) for width in widths[:-1]
        )
        self.upsample = nn.ConvTranspose2d(widths[-1], channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, num_classes, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the last two layers as He et al. 2015 (fan-out); biases are zero."""
        for layer in (self.upsample, self.conv_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Give mask logits `(R, K, 2*S, 2*S)` for pooled features `(R, C, S, S)`."""
        hidden = pooled
        for conv in self.convs:
            hidden = conv(hidden)
        hidden = F.relu(self.upsample(hidden), inplace=True)  # (R, C, 2*S, 2*S)
        return self.conv_logits(hidden)  # (R, K, 2*S, 2*S)


def mask_head_loss(
    head: nn.Module,
    pyramid: Sequence[Tensor],
    samples: Sequence[RoISamples],
    masks: Sequence[Tensor],
    *,
    strides: Sequence[int],
    roi_size: int,
    batch_size: tuple[int, int],
) -> Tensor:
    """Loss of a mask head on the positives among the boxes sampled.

    Args:
        head: a `MaskHead`, or what stands in for one.
        pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
        samples: one per image.
        masks: `(G, H, W)` bool or uint8 per image, at its true size.
        strides: see `pool_rois`.
        roi_size: bins per side that the head sees.
        batch_size: (height, width) of the padded batch.

    Returns:
        Scalar.
    """
    boxes = [sample.boxes[: sample.num_positive] for sample in samples]
    pooled = pool_rois(pyramid, boxes_to_rois(boxes), strides=strides, output_size=roi_size)
    logits = head(pooled)  # (P, K, m, m)
    targets = [
        mask_targets(
            bitmaps, part, sample.objects, output_size=logits.shape[-1], batch_size=batch_size
        )
        for bitmaps, part, sample in zip(masks, boxes, samples, strict=True)
    ]
    labels = [sample.labels[: sample.num_positive] for sample in samples]
    return mask_loss(logits, torch.cat(labels), torch.cat(targets))


def predict_masks(
    heads: Sequence[nn.Module],
    pyramid: Sequence[Tensor],
    detections: Sequence[Detections],
    *,
    strides: Sequence[int],
    roi_size: int,
) -> list[Tensor]:
    """Masks of what was found, each of its box, the mean of the heads' probabilities.

    Args:
        heads: at least one `MaskHead`.
        pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
        detections: one per image.
        strides: see `pool_rois`.
        roi_size: bins per side that the heads see.

    Returns:
        `(N, m, m)` float32 in 0..1 per image.
    """
    rois = boxes_to_rois([found.boxes for found in detections])
    labels = torch.cat([found.labels for found in detections])  # (R,)
    pooled = pool_rois(pyramid, rois, strides=strides, output_size=roi_size)
    rows = torch.arange(len(labels), device=labels.device)
    own = torch.stack([head(pooled)[rows, labels].float().sigmoid() for head in heads])
    return list(own.mean(dim=0).split([len(found.labels) for found in detections]))


@torch.no_grad()
def mask_targets(
    masks: Tensor,
    boxes: Tensor,
    objects: Tensor,
    *,
    output_size: int,
    batch_size: tuple[int, int],
) -> Tensor:
    """Cut the masks that positives are trained on out of the objects' bitmaps.

    Args:
        masks: `(G, H, W)` bool or uint8 at the image's true size.
        boxes: `(P, 4)`, xyxy, px of the input frame.
        objects: `(P,)` int64, the object of each box.
        output_size: pixels per side of a target.
        batch_size: (height, width) of the padded batch.

    Returns:
        `(P, output_size, output_size)` float32, 0 or 1.
    """
    if not len(boxes):
        return boxes.new_zeros(0, output_size, output_size)
    # Sampling reads at most one pixel beyond the image: where that is padding, it is no object.
    beyond = [int(batch_size[axis] > masks.shape[1 + axis]) for axis in (0, 1)]
    bitmaps = masks.float()[:, None]  # (G, 1, H, W)
    if any(beyond):
        bitmaps = F.pad(bitmaps, (0, beyond[1], 0, beyond[0]))  # (G, 1, H', W')
    rois = torch.cat([objects[:, None].to(boxes), boxes], dim=1)  # (P, 5)
    cut = roi_align(bitmaps, rois, output_size, sampling_ratio=0, aligned=True)
    return (cut[:, 0] >= 0.5).float()  # (P, output_size, output_size)


@torch.no_grad()
def paste_masks(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], *, threshold: float = 0.5
) -> Tensor:
    """Draw each box's mask into an image.

    Sampled at pixel centres, bilinear, nothing outside the box. On the CPU one box after the
    other, each where it is; elsewhere in chunks of bounded memory, without waiting for the device.

    Args:
        probabilities: `(N, m, m)` in 0..1.
        boxes: `(N, 4)`, xyxy, px of the image; one without area gives an empty mask.
        size: (height, width) of the image.
        threshold: smallest probability that belongs to the object.

    Returns:
        `(N, height, width)` bool.
    """
    height, width = size
    num = len(boxes)
    pasted = torch.zeros(num, height, width, dtype=torch.bool, device=boxes.device)
    if boxes.device.type in _ONE_BY_ONE:
        limits = boxes.new_tensor([width, height, width, height])
        around = torch.cat([boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1], dim=1)
        corners = around.clamp(min=0).minimum(limits).int().tolist()
        regions = [(slice(i, i + 1), *corner) for i, corner in enumerate(corners)]
    else:
        chunk = max(1, _PASTE_BYTES // (_BYTES_PER_PIXEL * height * width))
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
