"""Region proposal network on a feature pyramid (Ren et al. 2015; Lin et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.anchors import anchors_in_image, make_anchors
from swin_dense.heads.detection.boxes.box_ops import (
    batched_nms,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    is_nonempty,
    pairwise_iou,
)
from swin_dense.heads.detection.boxes.matching import IGNORED, match_boxes, sample_matches
from swin_dense.heads.detection.losses import objectness_loss, smooth_l1_loss

_DELTA_STDS = (1.0, 1.0, 1.0, 1.0)
_NUM_SPARE_CELLS = 64
_NUM_NEIGHBOURS = 9  # cells that the 3 x 3 convolution looks at


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
        # One product with both layers' weights: reading the hidden maps is what takes the time.
        layers = (self.rpn_cls, self.rpn_reg)
        weight = torch.cat([layer.weight for layer in layers])  # (5A, C, 1, 1)
        bias = torch.cat([cast(Tensor, layer.bias) for layer in layers])  # (5A,)
        num_ratios = len(self.anchor_ratios)
        logits, deltas, anchors = [], [], []
        for maps, stride in zip(pyramid, self.strides, strict=True):
            hidden = F.relu(self.rpn_conv(maps), inplace=True)
            outputs = F.conv2d(hidden, weight, bias).permute(0, 2, 3, 1)  # (B, H, W, 5A)
            level_logits, level_deltas = outputs.split([num_ratios, 4 * num_ratios], dim=3)
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

    def forward_at_anchors(
        self, pyramid: Sequence[Tensor], indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Judge some anchors of each image; the values are `forward`'s.

        Only the 3 x 3 neighbourhoods of their cells are looked at. So the gradient of the losses,
        which are of few anchors, does not go through the convolutions of whole maps.

        Args:
            pyramid: one `(B, C, H_i, W_i)` per stride.
            indices: `(B, S)` of the anchors, in the order of `forward`'s outputs.

        Returns:
            Logits `(B, S)` and deltas `(B, S, 4)`, float32.
        """
        num_ratios = len(self.anchor_ratios)
        cells, ratios = indices // num_ratios, indices % num_ratios  # (B, S)
        hidden = F.relu(
            F.linear(
                _neighbourhoods(pyramid, cells),
                self.rpn_conv.weight.permute(0, 2, 3, 1).flatten(1),  # (C, 9C)
                self.rpn_conv.bias,
            )
        )  # (B, S, C)
        logits = F.linear(hidden, self.rpn_cls.weight.flatten(1), self.rpn_cls.bias)  # (B, S, A)
        deltas = F.linear(hidden, self.rpn_reg.weight.flatten(1), self.rpn_reg.bias)
        deltas = deltas.unflatten(2, (num_ratios, 4))  # (B, S, A, 4)
        own = ratios[..., None]  # (B, S, 1)
        return (
            logits.gather(2, own).squeeze(2).float(),
            deltas.gather(2, own[..., None].expand(-1, -1, -1, 4)).squeeze(2).float(),
        )

    def use_sparse_forward(self, pyramid: Sequence[Tensor], num_samples: int) -> bool:
        """Whether that many anchors of an image cost less than the gradient of its whole maps."""
        num_cells = sum(maps.shape[-2] * maps.shape[-1] for maps in pyramid)
        return num_samples * _NUM_NEIGHBOURS * len(pyramid) < num_cells


def _neighbourhoods(pyramid: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Features around cells: `(B, S)` indices over all levels to `(B, S, 9C)`, 0 outside the map.

    Each level is asked for all cells and gives 0 for those of others, so that the host need not
    know which cell is on which.
    """
    offsets = torch.arange(-1, 2, device=cells.device)
    images = torch.arange(len(cells), device=cells.device)[:, None, None]  # (B, 1, 1)
    start, found = 0, []
    for maps in pyramid:
        height, width = maps.shape[-2:]
        own = cells - start
        start += height * width
        y = (own // width)[..., None, None] + offsets[:, None]  # (B, S, 3, 1)
        x = (own % width)[..., None, None] + offsets  # (B, S, 1, 3)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        inside &= ((own >= 0) & (own < height * width))[..., None, None]  # (B, S, 3, 3)
        # Elsewhere any cell will do: not one for all, whose gradients would queue up on a GPU, but
        # few, which stay in the cache of a CPU.
        spread = (own % min(height * width, _NUM_SPARE_CELLS))[..., None, None]
        place = torch.where(inside, y * width + x, spread).flatten(2)  # (B, S, 9)
        taken = maps.flatten(2)[images, :, place]  # (B, S, 9, C)
        found.append(torch.where(inside.flatten(2)[..., None], taken, 0))
    return torch.stack(found).sum(dim=0).flatten(2)  # (B, S, 9C)


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
        visible = is_nonempty(clipped).nonzero().flatten()
        clipped, image_scores = clipped[visible], image_scores[visible]
        kept = batched_nms(clipped, image_scores, all_levels[visible], iou_threshold=nms_iou)
        kept = kept[:max_proposals]
        proposals.append((clipped[kept], image_scores[kept]))
    return proposals


@dataclass(frozen=True, kw_only=True)
class AnchorSamples:
    """The anchors of each image that the network is trained on.

    Attributes:
        indices: `(B, S)` int64, which of the N anchors; None: all in order, S = N.
        positive: `(B, S)` bool, those that are objects.
        negative: `(B, S)` bool, those that are background; the rest is not trained on.
        deltas: `(B, S, 4)`, from the anchor to its object; 0 where it has none.
    """

    indices: Tensor | None
    positive: Tensor
    negative: Tensor
    deltas: Tensor


@torch.no_grad()
def sample_anchors(
    anchors: Tensor,
    sizes: Sequence[tuple[int, int]],
    gt_boxes: Sequence[Tensor],
    *,
    size_divisor: int,
    allowed_border: int | None,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
    num_samples: int | None,
    positive_fraction: float,
) -> AnchorSamples:
    """Choose the anchors that are trained on, without waiting for the device.

    Args:
        anchors: `(N, 4)`, xyxy, px of the input frame.
        sizes: true (height, width) of each image, px.
        gt_boxes: `(G, 4)` per image, xyxy, px of the input frame.
        size_divisor: see `anchors_in_image`.
        allowed_border: see `anchors_in_image`.
        positive_iou: see `match_boxes`.
        negative_iou: see `match_boxes`.
        min_positive_iou: see `match_boxes`.
        num_samples: see `sample_matches`.
        positive_fraction: see `sample_matches`.

    Returns:
        `min(num_samples, N)` anchors of each image, or all of them for None.
    """
    columns = []
    for size, boxes in zip(sizes, gt_boxes, strict=True):
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
        indices, own = torch.arange(len(anchors), device=anchors.device), anchors
        if num_samples is not None:
            chosen = (positive | negative).float()
            indices = chosen.topk(min(num_samples, len(anchors)), sorted=False).indices  # (S,)
            positive, negative, own = positive[indices], negative[indices], anchors[indices]
        matched_gt_boxes = own
        if len(boxes):
            matched_gt_boxes = torch.where(
                positive[:, None], boxes[matches[indices].clamp(min=0)], own
            )
        deltas = encode_boxes(own, matched_gt_boxes, stds=_DELTA_STDS)  # (S, 4)
        columns.append((indices, positive, negative, deltas))
    indices, positive, negative, deltas = (
        torch.stack(column) for column in zip(*columns, strict=True)
    )
    return AnchorSamples(
        indices=None if num_samples is None else indices,
        positive=positive,
        negative=negative,
        deltas=deltas,
    )


def rpn_losses(
    logits: Tensor, deltas: Tensor, samples: AnchorSamples, *, smooth_l1_beta: float
) -> dict[str, Tensor]:
    """Losses of the network over the anchors sampled.

    Args:
        logits: `(B, S)`, objectness before the sigmoid.
        deltas: `(B, S, 4)`.
        samples: the anchors that these are of.
        smooth_l1_beta: see `smooth_l1_loss`.

    Returns:
        `loss_rpn_cls` and `loss_rpn_bbox`, both over the number of anchors sampled in the batch.
    """
    positive, negative = samples.positive, samples.negative
    divisor = (positive.sum(1).clamp(min=1) + negative.sum(1).clamp(min=1)).sum()
    trained = torch.where(positive[..., None], deltas, 0)  # (B, S, 4); 0 where untrained
    return {
        "loss_rpn_cls": objectness_loss(logits, positive, negative, divisor=divisor),
        "loss_rpn_bbox": smooth_l1_loss(
            trained, samples.deltas, divisor=divisor, beta=smooth_l1_beta
        ),
    }
