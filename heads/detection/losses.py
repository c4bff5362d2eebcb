"""Detection losses as pure functions of predictions and targets, all in float32.

Each is a sum over the samples, divided by a count that the published recipes fix. Without
samples each is zero and still depends on the predictions, so that every parameter
gets a gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import aligned_giou


def objectness_loss(
    logits: Tensor, positive: Tensor, negative: Tensor, *, divisor: Tensor
) -> Tensor:
    """Binary cross-entropy of object against background, over the anchors sampled.

    Args:
        logits: `(...)`, any shape.
        positive: same shape, bool, anchors that are objects.
        negative: same shape, bool, anchors that are background.
        divisor: scalar that the sum is divided by.

    Returns:
        Scalar.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), positive.float(), reduction="none")
    return (losses * (positive | negative)).sum() / divisor


def smooth_l1_loss(
    predicted: Tensor, targets: Tensor, *, divisor: Tensor | float, beta: float
) -> Tensor:
    """Smooth L1 (Girshick 2015, Eq. 3) of box deltas; beta 0 is plain L1.

    Args:
        predicted: `(P, 4)`.
        targets: `(P, 4)`.
        divisor: number that the sum is divided by.
        beta: error at which the loss turns from quadratic to linear.

    Returns:
        Scalar.
    """
    losses = F.smooth_l1_loss(predicted.float(), targets, beta=beta, reduction="sum")
    return losses / divisor


def giou_loss(predicted: Tensor, targets: Tensor, *, divisor: float) -> Tensor:
    """One minus the generalised overlap of boxes (Rezatofighi et al. 2019).

    Args:
        predicted: `(P, 4)`, xyxy, px.
        targets: `(P, 4)`, same frame.
        divisor: number that the sum is divided by.

    Returns:
        Scalar.
    """
    return (1 - aligned_giou(predicted.float(), targets)).sum() / divisor


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the boxes sampled.

    Args:
        logits: `(R, K + 1)`, background last.
        labels: `(R,)` int64 in 0..K.

    Returns:
        Scalar; 0 for no boxes.
    """
    losses = F.cross_entropy(logits.float(), labels, reduction="sum")
    return losses / max(len(labels), 1)


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy over the pixels of each box, of its class alone (He et al. 2017).

    Args:
        logits: `(P, K, m, m)`.
        labels: `(P,)` int64 in 0..K-1.
        targets: `(P, m, m)` in 0..1.

    Returns:
        Scalar; 0 for no boxes.
    """
    rows = torch.arange(len(labels), device=labels.device)
    class_logits = logits.float()[rows, labels]  # (P, m, m)
    losses = F.binary_cross_entropy_with_logits(class_logits, targets, reduction="sum")
    return losses / max(targets.numel(), 1)
