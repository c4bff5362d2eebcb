"""Box head: class and refined box of each region (Girshick 2015; Cai and Vasconcelos 2018)."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU
from swin_dense.heads.detection.boxes.box_ops import decode_boxes, encode_boxes
from swin_dense.heads.detection.boxes.matching import RoISamples
from swin_dense.heads.detection.config import TwoStageDetectorConfig
from swin_dense.heads.detection.losses import classification_loss, giou_loss, smooth_l1_loss
from swin_dense.kernels.kept_values import KeepsValues
from swin_dense.kernels.linear import linear
from swin_dense.kernels.processor import is_cpu_inference


class BoxHead(KeepsValues):
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
        roi_size: int,
        num_convs: int,
        conv_channels: int,
        num_fcs: int,
        fc_channels: int,
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
        """Class logits and box deltas of pooled features `(R, C, S, S)`.

        Returns:
            Float32 logits `(R, K + 1)`, background last, and deltas `(R, K, 4)`.
        """
        hidden = pooled
        for conv in self.shared_convs:
            hidden = conv(hidden)
        channels = None
        if is_cpu_inference(hidden):  # as they are pooled there
            channels = hidden.shape[1]
            hidden = hidden.permute(0, 2, 3, 1)  # (R, S, S, C)
        hidden = hidden.flatten(1)  # (R, C*S*S), or (R, S*S*C)
        for fc in cast(Iterable[nn.Linear], self.shared_fcs):
            hidden = F.relu(linear(fc, hidden, channels=channels), inplace=True)
            channels = None
        deltas = linear(self.fc_reg, hidden).unflatten(1, (-1, 4))  # (R, K, 4)
        return linear(self.fc_cls, hidden).float(), deltas.float()


def build_box_head(config: TwoStageDetectorConfig) -> BoxHead:
    """A box head of the sizes in a detector's config."""
    return BoxHead(
        config.fpn_channels,
        config.num_classes,
        roi_size=config.box.roi_size,
        num_convs=config.box.num_convs,
        conv_channels=config.box.conv_channels,
        num_fcs=config.box.num_fcs,
        fc_channels=config.box.fc_channels,
    )


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
    positive_boxes, class_deltas, matched_gt_boxes = [], [], []
    for sample, image_deltas, boxes in zip(samples, deltas.split(counts), gt_boxes, strict=True):
        num = sample.num_positive
        rows = torch.arange(num, device=deltas.device)
        positive_boxes.append(sample.boxes[:num])
        class_deltas.append(image_deltas[rows, sample.labels[:num]])
        matched_gt_boxes.append(boxes[sample.matched_gt_indices])
    positives, matched = torch.cat(positive_boxes), torch.cat(matched_gt_boxes)  # (P, 4)
    predicted = torch.cat(class_deltas)  # (P, 4)
    divisor = max(len(labels), 1)
    if giou_weight is None:
        delta_targets = encode_boxes(positives, matched, stds=delta_stds)
        loss_bbox = smooth_l1_loss(predicted, delta_targets, divisor=divisor, beta=0.0)
    else:
        decoded = decode_boxes(positives, predicted, stds=delta_stds)
        loss_bbox = giou_weight * giou_loss(decoded, matched, divisor=divisor)
    return {"loss_cls": classification_loss(logits, labels), "loss_bbox": loss_bbox}
