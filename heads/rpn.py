"""Region proposal network on a feature pyramid (Ren et al. 2015; Lin et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.anchors import anchors_in_image, make_anchors
from swin_dense.heads.boxes import (
    batched_nms,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    have_area,
    pairwise_iou,
)
from swin_dense.heads.losses import objectness_loss, smooth_l1_loss
from swin_dense.heads.matching import IGNORED, match_boxes, sample_matches

_DELTA_STDS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class RPNOutputs:
    """What the network says about each anchor of a batch, levels from fine to coarse.

    Attributes:
        logits: `(B, N)` float32, objectness before the sigmoid.
        deltas: `(B, N, 4)` float32.
        anchors: `(N, 4)` float32, xyxy, px of the input frame.
        level_lengths: anchors per level, N in sum.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    level_lengths: tuple[int, ...]


class RPNHead(nn.Module):
    """A 3 x 3 convolution, then objectness and box deltas for each anchor of a cell.

    Args:
        channels: channels of every level of the pyramid.
        strides: of the levels, px, fine to coarse.
        anchor_scale: side of a square anchor, in strides.
        anchor_ratios: height over width of a cell's anchors.
    """

    def __init__(
        self,
        channels: int,
        *,
        strides: Sequence[int],
        anchor_scale: float = 8.0,
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.anchor_scale = anchor_scale
        self.anchor_ratios = tuple(anchor_ratios)
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, len(self.anchor_ratios), 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * len(self.anchor_ratios), 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights from a normal distribution with deviation 0.01; biases are zero."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.01)

    def forward(self, pyramid: Sequence[Tensor]) -> RPNOutputs:
        """Judge each anchor of the pyramid, one `(B, C, H_i, W_i)` per stride."""
        logits, deltas, anchors = [], [], []
        for maps, stride in zip(pyramid, self.strides, strict=True):
            hidden = F.relu(self.rpn_conv(maps), inplace=True)
            level_logits = self.rpn_cls(hidden).permute(0, 2, 3, 1)  # (B, H, W, A)
            level_deltas = self.rpn_reg(hidden).permute(0, 2, 3, 1)  # (B, H, W, A*4)
            logits.append(level_logits.flatten(1).float())  # (B, H*W*A)
            deltas.append(level_deltas.flatten(1).unflatten(1, (-1, 4)).float())  # (B, H*W*A, 4)
            anchors.append(
                make_anchors(
                    (maps.shape[-2], maps.shape[-1]),
                    stride=stride,
                    scale=self.anchor_scale,
                    ratios=self.anchor_ratios,
                    device=maps.device,
                )
            )
        return RPNOutputs(
            logits=torch.cat(logits, dim=1),
            deltas=torch.cat(deltas, dim=1),
            anchors=torch.cat(anchors),
            level_lengths=tuple(map(len, anchors)),
        )


@torch.no_grad()
def propose(
    outputs: RPNOutputs,
    sizes: Sequence[tuple[int, int]],
    *,
    nms_pre: int,
    max_proposals: int,
    nms_iou: float,
) -> list[tuple[Tensor, Tensor]]:
    """Choose the boxes that the RoI heads look at.

    The best of each level are decoded, clipped to the image, dropped if nothing of them is left
    (as in mmdetection 3; its version 2 kept such boxes), and suppressed within their level.

    Args:
        outputs: of `RPNHead`.
        sizes: true (height, width) of each image, px.
        nms_pre: boxes per level before suppression.
        max_proposals: boxes per image after it.
        nms_iou: overlap with a better box of the level at which a box goes.

    Returns:
        Per image boxes `(N, 4)`, xyxy, px of the input frame, and scores `(N,)` in 0..1, best
        first.
    """
    scores, boxes, levels = [], [], []
    start = 0
    for level, length in enumerate(outputs.level_lengths):
        part = slice(start, start := start + length)
        level_scores, best = outputs.logits[:, part].sigmoid().topk(min(nms_pre, length))  # (B, n)
        deltas = outputs.deltas[:, part].gather(1, best[..., None].expand(-1, -1, 4))  # (B, n, 4)
        scores.append(level_scores)
        boxes.append(decode_boxes(outputs.anchors[part][best], deltas, stds=_DELTA_STDS))
        levels.append(torch.full_like(best[0], level))
    all_levels = torch.cat(levels)  # (n of all levels,)
    proposals = []
    for image_boxes, image_scores, size in zip(
        torch.cat(boxes, dim=1), torch.cat(scores, dim=1), sizes, strict=True
    ):
        clipped = clip_boxes(image_boxes, size)
        visible = have_area(clipped).nonzero().flatten()
        clipped, image_scores = clipped[visible], image_scores[visible]
        kept = batched_nms(clipped, image_scores, all_levels[visible], iou_threshold=nms_iou)
        kept = kept[:max_proposals]
        proposals.append((clipped[kept], image_scores[kept]))
    return proposals


def rpn_losses(
    outputs: RPNOutputs,
    sizes: Sequence[tuple[int, int]],
    object_boxes: Sequence[Tensor],
    *,
    size_divisor: int,
    allowed_border: int | None,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
    num_samples: int | None,
    positive_fraction: float,
    smooth_l1_beta: float,
) -> dict[str, Tensor]:
    """Losses of the network, computed without waiting for the device.

    Args:
        outputs: of `RPNHead`.
        sizes: true (height, width) of each image, px.
        object_boxes: `(G, 4)` per image, xyxy, px of the input frame.
        size_divisor: see `anchors_in_image`.
        allowed_border: see `anchors_in_image`.
        positive_iou: see `match_boxes`.
        negative_iou: see `match_boxes`.
        min_positive_iou: see `match_boxes`.
        num_samples: see `sample_matches`.
        positive_fraction: see `sample_matches`.
        smooth_l1_beta: see `smooth_l1_loss`.

    Returns:
        `loss_rpn_cls` and `loss_rpn_bbox`, both over the number of anchors sampled in the batch.
    """
    anchors = outputs.anchors
    positives, negatives, targets = [], [], []
    for size, boxes in zip(sizes, object_boxes, strict=True):
        usable = anchors_in_image(
            anchors, size, size_divisor=size_divisor, allowed_border=allowed_border
        )
        matches = match_boxes(
            pairwise_iou(boxes, anchors).masked_fill_(~usable, -1),
            positive_iou=positive_iou,
            negative_iou=negative_iou,
            min_positive_iou=min_positive_iou,
            match_low_quality=True,
        )
        positive, negative = sample_matches(
            matches.masked_fill_(~usable, IGNORED),
            num_samples=num_samples,
            positive_fraction=positive_fraction,
        )
        positives.append(positive)
        negatives.append(negative)
        if len(boxes):
            own = torch.where(positive[:, None], boxes[matches.clamp(min=0)], anchors)  # (N, 4)
        else:
            own = anchors
        targets.append(encode_boxes(anchors, own, stds=_DELTA_STDS))
    positive, negative = torch.stack(positives), torch.stack(negatives)  # (B, N)
    divisor = (positive.sum(1).clamp(min=1) + negative.sum(1).clamp(min=1)).sum()
    deltas = torch.where(positive[..., None], outputs.deltas, 0)  # (B, N, 4); 0 where untrained
    return {
        "loss_rpn_cls": objectness_loss(outputs.logits, positive, negative, divisor=divisor),
        "loss_rpn_bbox": smooth_l1_loss(
            deltas, torch.stack(targets), divisor=divisor, beta=smooth_l1_beta
        ),
    }
