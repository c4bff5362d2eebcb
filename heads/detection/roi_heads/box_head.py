"""Box head: class and refined box of each region (Girshick 2015; Cai and Vasconcelos 2018)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU
from swin_dense.heads.detection.boxes.box_ops import (
    batched_nms,
    clip_boxes,
    decode_boxes,
    encode_boxes,
)
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.losses import classification_loss, giou_loss, smooth_l1_loss


class BoxHead(nn.Module):
    """Convolutions, linear layers, then class logits and box deltas per class.

    Args:
        in_channels: channels of the pooled features.
        num_classes: classes K without background.
        roi_size: bins per side of the pooled features.
        num_convs: 3 x 3 convolutions with BatchNorm.
        conv_channels: their width.
        num_fcs: linear layers, at least one.
        fc_channels: their width.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        roi_size: int = 7,
        num_convs: int = 0,
        conv_channels: int = 256,
        num_fcs: int = 2,
        fc_channels: int = 1024,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[conv_channels] * num_convs]
        self.shared_convs = nn.ModuleList(
            ConvNormReLU(width, conv_channels, kernel_size=3) for width in widths[:-1]
        )
        widths = [widths[-1] * roi_size**2, *[fc_channels] * num_fcs]
        self.shared_fcs = nn.ModuleList(nn.Linear(width, fc_channels) for width in widths[:-1])
        self.fc_cls = nn.Linear(fc_channels, num_classes + 1)
        self.fc_reg = nn.Linear(fc_channels, 4 * num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw linear layers as Glorot 2010, the two outputs near zero; biases are zero."""
        for name, parameter in self.shared_fcs.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)
        nn.init.zeros_(self.fc_cls.bias)
        nn.init.zeros_(self.fc_reg.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Judge pooled features `(R, C, S, S)`.

        Returns:
            Float32 logits `(R, K + 1)`, background last, and deltas `(R, K, 4)`.
        """
        hidden = pooled
        for conv in self.shared_convs:
            hidden = conv(hidden)
        hidden = hidden.flatten(1)  # (R, C*S*S)
        for fc in self.shared_fcs:
            hidden = F.relu(fc(hidden), inplace=True)
        deltas = self.fc_reg(hidden).unflatten(1, (-1, 4))  # (R, K, 4)
        return self.fc_cls(hidden).float(), deltas.float()


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    samples: Sequence[RoISamples],
    gt_boxes: Sequence[Tensor],
    *,
    delta_stds: Sequence[float],
    giou_weight: float | None = None,
) -> dict[str, Tensor]:
    """Losses of a box head.

    Args:
        logits: `(R, K + 1)`, the samples' boxes of all images in order.
        deltas: `(R, K, 4)`.
        samples: one per image.
        gt_boxes: `(G, 4)` per image, xyxy, px of the input frame.
        delta_stds: scale of the deltas.
        giou_weight: None for L1 on deltas; else GIoU on decoded boxes times this weight.

    Returns:
        `loss_cls` and `loss_bbox`, both over the number of boxes sampled.
    """
    labels = torch.cat([sample.labels for sample in samples])  # (R,)
    counts = [len(sample.labels) for sample in samples]
    boxes, own_deltas, targets = [], [], []
    for sample, part, objects in zip(samples, deltas.split(counts), gt_boxes, strict=True):
        num = sample.num_positive
        boxes.append(sample.boxes[:num])
        own_deltas.append(part[torch.arange(num, device=part.device), sample.labels[:num]])
        targets.append(objects[sample.objects])
    positives, matched, predicted = torch.cat(boxes), torch.cat(targets), torch.cat(own_deltas)
    divisor = max(len(labels), 1)
    if giou_weight is None:
        encoded = encode_boxes(positives, matched, stds=delta_stds)
        loss_bbox = smooth_l1_loss(predicted, encoded, divisor=divisor)
    else:
        decoded = decode_boxes(positives, predicted, stds=delta_stds)
        loss_bbox = giou_weight * giou_loss(decoded, matched, divisor=divisor)
    return {"loss_cls": classification_loss(logits, labels), "loss_bbox": loss_bbox}


class Detections(NamedTuple):
    """What was found on one image, best first.

    Attributes:
        boxes: `(N, 4)` float32, xyxy, px of the input frame.
        scores: `(N,)` float32 in 0..1.
        labels: `(N,)` int64 in 0..K-1.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def select_detections(
    boxes: Tensor,
    logits: Tensor,
    deltas: Tensor,
    *,
    delta_stds: Sequence[float],
    size: tuple[int, int],
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> Detections:
    """Turn a box head's outputs for one image into detections.

    Args:
        boxes: `(R, 4)`, the regions, xyxy, px of the input frame.
        logits: `(R, K + 1)`, background last.
        deltas: `(R, K, 4)`.
        delta_stds: scale of the deltas.
        size: true (height, width) of the input image; boxes are clipped to it.
        score_threshold: a detection's score is above this.
        nms_iou: overlap with a better box of the class at which a box goes.
        max_detections: at most so many are kept.

    Returns:
        Detections in the input frame.
    """
    scores = logits.softmax(dim=1)[:, :-1]  # (R, K)
    regions, labels = (scores > score_threshold).nonzero(as_tuple=True)  # (n,) each
    scores = scores[regions, labels]
    found = clip_boxes(decode_boxes(boxes[regions], deltas[regions, labels], stds=delta_stds), size)
    kept = batched_nms(found, scores, labels, iou_threshold=nms_iou)[:max_detections]
    return Detections(found[kept], scores[kept], labels[kept])
