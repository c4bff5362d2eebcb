"""Mask head: layers, loss, targets and predicted masks (He et al. 2017, Mask R-CNN)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from swin_dense.heads.conv_block import ConvBlock
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.config import CascadeMaskRCNNConfig, MaskRCNNConfig
from swin_dense.heads.detection.losses import mask_loss
from swin_dense.heads.detection.roi_heads.postprocessing import Detections
from swin_dense.heads.detection.roi_heads.roi_pool import pool_rois
from swin_dense.heads.detection.targets import DetectionTarget
from swin_dense.pyramids import Pyramids


class MaskHead(nn.Module):
    """Convolutions, a doubling of resolution, then one mask per class.

    Args:
        in_channels: channels of the pooled features.
        num_classes: classes K.
        num_convs: 3 x 3 convolutions.
        channels: their width.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, num_convs: int, channels: int
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
        """Mask logits `(R, K, 2*S, 2*S)` of pooled features `(R, C, S, S)`."""
        hidden = pooled
        for conv in self.convs:
            hidden = conv(hidden)
        hidden = F.relu(self.upsample(hidden), inplace=True)  # (R, C, 2*S, 2*S)
        return self.conv_logits(hidden)  # (R, K, 2*S, 2*S)


def build_mask_head(config: MaskRCNNConfig | CascadeMaskRCNNConfig) -> MaskHead:
    """A mask head of the sizes in a detector's config."""
    return MaskHead(
        config.fpn_channels,
        config.num_classes,
        num_convs=config.mask.num_convs,
        channels=config.mask.channels,
    )


def mask_head_loss(
    head: nn.Module,
    pyramids: Pyramids,
    samples: Sequence[RoISamples],
    targets: Sequence[DetectionTarget],
    *,
    strides: Sequence[int],
    roi_size: int,
    padded_sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """Loss of a mask head on the positive boxes among those sampled, of objects with a mask.

    Args:
        head: a `MaskHead`, or any module with such a forward.
        pyramids: of the batch.
        samples: one per image.
        targets: one per image, with masks.
        strides: see `pool_rois`.
        roi_size: bins per side of the pooled features.
        padded_sizes: (height, width) of each image with its padding.

    Returns:
        Scalar.
    """
    positives = [
        _positives_with_mask(sample, target)
        for sample, target in zip(samples, targets, strict=True)
    ]
    boxes = [image_boxes for image_boxes, _, _ in positives]
    pooled = pool_rois(pyramids, boxes, strides=strides, output_size=roi_size)
    logits = head(pooled)  # (P, K, m, m)
    cropped = [
        mask_targets(
            target["masks"],
            image_boxes,
            matched_gt_indices,
            output_size=logits.shape[-1],
            padded_size=padded_size,
        )
        for target, (image_boxes, _, matched_gt_indices), padded_size in zip(
            targets, positives, padded_sizes, strict=True
        )
    ]
    labels = [image_labels for _, image_labels, _ in positives]
    return mask_loss(logits, torch.cat(labels), torch.cat(cropped))


def _positives_with_mask(
    sample: RoISamples, target: DetectionTarget
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, labels and matched ground truth of an image's positives that have a mask to learn."""
    num, matched = sample.num_positive, sample.matched_gt_indices
    boxes, labels = sample.boxes[:num], sample.labels[:num]
    if "has_mask" not in target:  # all have one, and the host need not wait for a device
        return boxes, labels, matched
    keep = target["has_mask"][matched]
    return boxes[keep], labels[keep], matched[keep]


def predict_masks(
    heads: Sequence[nn.Module],
    pyramids: Pyramids,
    detections: Sequence[Detections],
    *,
    strides: Sequence[int],
    roi_size: int,
) -> list[Tensor]:
    """Masks of detections, each of its box, the mean of the heads' probabilities.

    Args:
        heads: at least one `MaskHead`.
        pyramids: of the batch.
        detections: one per image.
        strides: see `pool_rois`.
        roi_size: bins per side of the pooled features.

    Returns:
        `(N, m, m)` float32 in 0..1 per image.
    """
    boxes = [image.boxes for image in detections]
    labels = torch.cat([image.labels for image in detections])  # (R,)
    pooled = pool_rois(pyramids, boxes, strides=strides, output_size=roi_size)
    rows = torch.arange(len(labels), device=labels.device)
    class_masks = torch.stack([head(pooled)[rows, labels].float().sigmoid() for head in heads])
    return list(class_masks.mean(dim=0).split([len(image.labels) for image in detections]))


@torch.no_grad()
def mask_targets(
    masks: Tensor,
    boxes: Tensor,
    matched_gt_indices: Tensor,
    *,
    output_size: int,
    padded_size: tuple[int, int],
) -> Tensor:
    """Crop the mask targets of positive boxes from the ground-truth bitmaps.

    Args:
        masks: `(G, H, W)` bool or uint8 at the image's true size.
        boxes: `(P, 4)`, xyxy, px of the input frame.
        matched_gt_indices: `(P,)` int64, the ground truth of each box.
        output_size: pixels per side of a target.
        padded_size: (height, width) of the image with its padding.

    Returns:
        `(P, output_size, output_size)` float32, 0 or 1.
    """
    if not len(boxes):
        return boxes.new_zeros(0, output_size, output_size)
    # Sampling reads at most one pixel beyond the image: where that is padding, it is background.
    beyond = [int(padded_size[axis] > masks.shape[1 + axis]) for axis in (0, 1)]
    bitmaps = masks.float()[:, None]  # (G, 1, H, W)
    if any(beyond):
        bitmaps = F.pad(bitmaps, (0, beyond[1], 0, beyond[0]))  # (G, 1, H', W')
    rois = torch.cat([matched_gt_indices[:, None].to(boxes), boxes], dim=1)  # (P, 5)
    cropped = roi_align(bitmaps, rois, output_size, sampling_ratio=0, aligned=True)
    return (cropped[:, 0] >= 0.5).float()  # (P, output_size, output_size)
