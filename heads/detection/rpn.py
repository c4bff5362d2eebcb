"""Region proposal network on a feature pyramid (Ren et al. 2015; Lin et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.anchor_sampling import AnchorSamples, sample_anchors
from swin_dense.heads.detection.boxes.anchors import ANCHOR_DELTA_STDS, make_anchors
from swin_dense.heads.detection.boxes.box_ops import (
    batched_nms,
    clip_boxes,
    decode_boxes,
    is_nonempty,
    topk_in_order,
)
from swin_dense.heads.detection.config import RPNConfig
from swin_dense.heads.detection.losses import objectness_loss, smooth_l1_loss
from swin_dense.kernels.convolution import convolve
from swin_dense.kernels.kept_values import KeepsValues
from swin_dense.pyramids import Pyramids

_NUM_SPARE_CELLS = 64
_NUM_NEIGHBOURS = 9  # cells that the 3 x 3 convolution reads


@dataclass(frozen=True, kw_only=True)
class RPNOutputs:
    """Objectness and box deltas of every anchor of images of one size, levels from fine to coarse.

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


class TrainedAnchors(NamedTuple):
    """The anchors that images of one size are trained on.

    Attributes:
        logits: `(B, S)` float32, objectness before the sigmoid.
        deltas: `(B, S, 4)` float32.
        samples: what they are trained for.
    """

    logits: Tensor
    deltas: Tensor
    samples: AnchorSamples


class RPNHead(KeepsValues):
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
        anchor_scale: float,
        anchor_ratios: Sequence[float],
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
        """Objectness and box deltas of every anchor of a pyramid.

        Args:
            pyramid: one `(B, C, H_i, W_i)` per stride.
        """
        levels = [
            self.forward_level(maps, stride)
            for maps, stride in zip(pyramid, self.strides, strict=True)
        ]
        logits, deltas, anchors = zip(*levels, strict=True)
        return RPNOutputs(
            logits=torch.cat(logits, dim=1),
            deltas=torch.cat(deltas, dim=1),
            anchors=torch.cat(anchors),
            level_lengths=tuple(map(len, anchors)),
        )

    def forward_level(self, maps: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        """Objectness and box deltas of every anchor of one level.

        Args:
            maps: `(B, C, H, W)`.
            stride: of the level, px.

        Returns:
            Logits `(B, N)`, deltas `(B, N, 4)` and anchors `(N, 4)`, float32.
        """
        # One product with both layers' weights: most of the time goes into reading the hidden maps.
        layers = (self.rpn_cls, self.rpn_reg)
        weight = torch.cat([layer.weight for layer in layers])  # (5A, C, 1, 1)
        bias = torch.cat([cast(Tensor, layer.bias) for layer in layers])  # (5A,)
        num_ratios = len(self.anchor_ratios)
        hidden = convolve(self.rpn_conv, maps, relu=True)
        outputs = F.conv2d(hidden, weight, bias).permute(0, 2, 3, 1)  # (B, H, W, 5A)
        logits, deltas = outputs.split([num_ratios, 4 * num_ratios], dim=3)
        anchors = make_anchors(
            (maps.shape[-2], maps.shape[-1]),
            stride=stride,
            scale=self.anchor_scale,
            ratios=self.anchor_ratios,
            device=maps.device,
        )
        return (
            logits.flatten(1).float(),  # (B, H*W*A)
            deltas.flatten(1).unflatten(1, (-1, 4)).float(),  # (B, H*W*A, 4)
            anchors,
        )

    def forward_at_anchors(
        self, pyramid: Sequence[Tensor], indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Objectness and box deltas of some anchors of each image; the values are `forward`'s.

        Only the 3 x 3 neighbourhoods of their cells are read. So the gradient of the losses,
        which are of few anchors, does not go through the convolutions of whole maps.

        Args:
            pyramid: one `(B, C, H_i, W_i)` per stride.
            indices: `(B, S)` of the anchors, in the order of `forward`'s outputs.

        Returns:
            Logits `(B, S)` and deltas `(B, S, 4)`, float32.
        """
        num_ratios = len(self.anchor_ratios)
        cells, ratios = indices // num_ratios, (indices % num_ratios)[..., None]  # ratios (B, S, 1)
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
        return (
            logits.gather(2, ratios).squeeze(2).float(),
            deltas.gather(2, ratios[..., None].expand(-1, -1, -1, 4)).squeeze(2).float(),
        )

    def forward_train(
        self,
        pyramids: Pyramids,
        sizes: Sequence[tuple[int, int]],
        gt_boxes: Sequence[Tensor],
        generators: Sequence[torch.Generator],
        *,
        config: RPNConfig,
        size_divisor: int,
    ) -> tuple[list[RPNOutputs], dict[str, Tensor]]:
        """Outputs of every anchor, for the proposals, and losses of the anchors sampled.

        On large maps the sampled anchors alone are computed with a gradient (`use_sparse_forward`);
        losses and gradients are the same up to rounding.

        Args:
            pyramids: of the batch, with one level per stride.
            sizes: true (height, width) of each image, px.
            gt_boxes: `(G, 4)` per image, xyxy, px of the input frame.
            generators: random source of each image's samples.
            config: its thresholds and numbers of samples.
            size_divisor: see `anchors_in_image`.

        Returns:
            The outputs for each group of images, without a gradient where it is not needed, and the
            losses of `rpn_losses`.
        """
        groups = zip(
            pyramids.maps,
            pyramids.split(sizes),
            pyramids.split(gt_boxes),
            pyramids.split(generators),
            strict=True,
        )
        outputs: list[RPNOutputs] = []
        trained: list[TrainedAnchors] = []
        for group in groups:
            all_anchors, samples = self._train_group(
                *group, config=config, size_divisor=size_divisor
            )
            outputs.append(all_anchors)
            trained.append(samples)
        return outputs, rpn_losses(trained, smooth_l1_beta=config.smooth_l1_beta)

    def _train_group(
        self,
        pyramid: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        gt_boxes: Sequence[Tensor],
        generators: Sequence[torch.Generator],
        *,
        config: RPNConfig,
        size_divisor: int,
    ) -> tuple[RPNOutputs, TrainedAnchors]:
        """Outputs of every anchor, and those that are trained on, of images of one size."""
        is_sparse = config.num_samples is not None and self.use_sparse_forward(
            pyramid, config.num_samples
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_sparse):
            outputs = self(pyramid)
        samples = sample_anchors(
            outputs.anchors,
            sizes,
            gt_boxes,
            size_divisor=size_divisor,
            allowed_border=config.allowed_border,
            positive_iou=config.positive_iou,
            negative_iou=config.negative_iou,
            min_positive_iou=config.min_positive_iou,
            num_samples=config.num_samples,
            positive_fraction=config.positive_fraction,
            generators=generators,
        )
        logits, deltas = outputs.logits, outputs.deltas
        if samples.indices is not None and is_sparse:
            # Autocast of torch 2.9 keeps the weights it cast without a gradient just now.
            torch.clear_autocast_cache()
            logits, deltas = self.forward_at_anchors(pyramid, samples.indices)
        elif samples.indices is not None:
            logits = logits.gather(1, samples.indices)
            deltas = deltas.gather(1, samples.indices[..., None].expand(-1, -1, 4))
        return outputs, TrainedAnchors(logits, deltas, samples)

    def use_sparse_forward(self, pyramid: Sequence[Tensor], num_samples: int) -> bool:
        """Decide whether that many anchors cost less than the gradient of whole maps."""
        num_cells = sum(maps.shape[-2] * maps.shape[-1] for maps in pyramid)
        return num_samples * _NUM_NEIGHBOURS * len(pyramid) < num_cells


def _neighbourhoods(pyramid: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Features around cells: `(B, S)` indices over all levels to `(B, S, 9C)`, 0 outside the map.

    Every level is read at all cells and gives 0 for those of other levels, so that the host need
    not know which cell is on which.
    """
    offsets = torch.arange(-1, 2, device=cells.device)
    images = torch.arange(len(cells), device=cells.device)[:, None, None]  # (B, 1, 1)
    start, gathered = 0, []
    for maps in pyramid:
        height, width = maps.shape[-2:]
        level_cells = cells - start  # (B, S), in 0..height*width-1 for cells of this level
        start += height * width
        y = (level_cells // width)[..., None, None] + offsets[:, None]  # (B, S, 3, 1)
        x = (level_cells % width)[..., None, None] + offsets  # (B, S, 1, 3)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)  # (B, S, 3, 3)
        inside &= ((level_cells >= 0) & (level_cells < height * width))[..., None, None]
        # Elsewhere any cell will do: not one for all, whose gradients would queue up on a GPU, but
        # few, which stay in the cache of a CPU.
        spread = (level_cells % min(height * width, _NUM_SPARE_CELLS))[..., None, None]
        indices = torch.where(inside, y * width + x, spread).flatten(2)  # (B, S, 9)
        values = maps.flatten(2)[images, :, indices]  # (B, S, 9, C)
        gathered.append(torch.where(inside.flatten(2)[..., None], values, 0))
    return torch.stack(gathered).sum(dim=0).flatten(2)  # (B, S, 9C)


@torch.no_grad()
def propose(
    outputs: RPNOutputs,
    sizes: Sequence[tuple[int, int]],
    *,
    nms_pre: int,
    max_proposals: int,
    nms_iou: float,
) -> list[tuple[Tensor, Tensor]]:
    """Select the proposals that the RoI heads work on.

    The best of each level are decoded, clipped to the image, dropped if nothing of them is left
    (as in mmdetection 3; its version 2 kept such boxes), and suppressed within their level.

    Args:
        outputs: of `RPNHead`.
        sizes: true (height, width) of each image, px.
        nms_pre: boxes per level before suppression.
        max_proposals: boxes per image after it.
        nms_iou: overlap with a better box of the level above which a box is suppressed.

    Returns:
        Per image boxes `(N, 4)`, xyxy, px of the input frame, and scores `(N,)` in 0..1, best
        first.
    """
    scores, boxes, levels = [], [], []
    start = 0
    for level, length in enumerate(outputs.level_lengths):
        part = slice(start, start := start + length)
        # By logits, which differ where large scores are rounded to one and the same number.
        logits, topk = topk_in_order(outputs.logits[:, part], min(nms_pre, length))  # (B, n)
        deltas = outputs.deltas[:, part].gather(1, topk[..., None].expand(-1, -1, 4))  # (B, n, 4)
        scores.append(logits.sigmoid())
        boxes.append(decode_boxes(outputs.anchors[part][topk], deltas, stds=ANCHOR_DELTA_STDS))
        levels.append(torch.full_like(topk[0], level))
    all_levels = torch.cat(levels)  # (n of all levels,)
    proposals = []
    for image_boxes, image_scores, size in zip(
        torch.cat(boxes, dim=1), torch.cat(scores, dim=1), sizes, strict=True
    ):
        clipped = clip_boxes(image_boxes, size)
        valid = is_nonempty(clipped).nonzero().flatten()
        clipped, image_scores = clipped[valid], image_scores[valid]
        keep = batched_nms(clipped, image_scores, all_levels[valid], iou_threshold=nms_iou)
        keep = keep[:max_proposals]
        proposals.append((clipped[keep], image_scores[keep]))
    return proposals


def rpn_losses(trained: Sequence[TrainedAnchors], *, smooth_l1_beta: float) -> dict[str, Tensor]:
    """Losses of the network over the anchors sampled.

    Args:
        trained: for each size of images.
        smooth_l1_beta: see `smooth_l1_loss`.

    Returns:
        `loss_rpn_cls` and `loss_rpn_bbox`, both over the number of anchors sampled in the batch.
    """
    samples = [part.samples for part in trained]
    counts = [
        part.positive.sum(1).clamp(min=1) + part.negative.sum(1).clamp(min=1) for part in samples
    ]
    divisor = torch.cat(counts).sum()
    logits = torch.cat([part.logits.flatten() for part in trained])  # (S of all images,)
    deltas = torch.cat([part.deltas.flatten(0, 1) for part in trained])  # (S of all images, 4)
    positive = torch.cat([part.positive.flatten() for part in samples])
    negative = torch.cat([part.negative.flatten() for part in samples])
    targets = torch.cat([part.deltas.flatten(0, 1) for part in samples])
    deltas = torch.where(positive[:, None], deltas, 0)  # 0 where untrained
    return {
        "loss_rpn_cls": objectness_loss(logits, positive, negative, divisor=divisor),
        "loss_rpn_bbox": smooth_l1_loss(deltas, targets, divisor=divisor, beta=smooth_l1_beta),
    }
