"""A two-stage detector as a fixed graph: one image in, its detections out, at any size.

The parts and their numbers are the model's. What `predict` decides in Python is tensors here: how
many boxes there are, which level each is pooled from, which detections are kept.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.detection.boxes.anchors import ANCHOR_DELTA_STDS
from swin_dense.heads.detection.boxes.box_ops import (
    clip_boxes,
    decode_boxes,
    is_nonempty,
    joint_nms,
    topk_in_order,
)
from swin_dense.heads.detection.config import (
    CascadeRCNNConfig,
    FasterRCNNConfig,
    RPNConfig,
    mask_config,
)
from swin_dense.heads.detection.graph.agreement import detection_differences
from swin_dense.heads.detection.graph.level_pooling import pool_levels
from swin_dense.heads.detection.roi_heads.postprocessing import Detections, select_detections
from swin_dense.heads.detection.rpn import RPNHead
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.heads.graphs import Graph, normalise, pad_to_multiple

_WORST = -1e30  # below any logit


class DetectorGraph(Graph):
    """Faster, Mask, Cascade or Cascade Mask R-CNN as a graph of one image.

    Args:
        model: whose parts it shares.

    Attributes:
        outputs: `boxes` `(N, 4)` float32, xyxy, px of the image; `scores` `(N,)` float32 in 0..1;
            `labels` `(N,)` int64; and of a model with masks `masks` `(N, m, m)` float32 in 0..1,
            each of its box. Best first; N is 0 where nothing is found.
    """

    def __init__(self, model: TwoStageDetector) -> None:
        super().__init__()
        self.model = model
        self.outputs = ("boxes", "scores", "labels") + ("masks",) * model.gives_masks
        box = model.config.box
        self.thresholds = {
            "score": box.score_threshold,
            "nms_iou": box.nms_iou,
            "max_detections": box.max_detections,
        }

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See `Graph`."""
        model = self.model
        size = (image.shape[-2], image.shape[-1])
        dtype = next(model.parameters()).dtype
        pixels = pad_to_multiple(normalise(image, dtype), model.config.size_divisor)
        pyramid = model.neck(model.backbone(pixels))
        proposals = propose_best(model.rpn_head, pyramid, size, model.config.rpn)
        regions, logits, deltas = self._refine(pyramid, proposals, size)
        box = model.config.box
        found = select_detections(
            regions,
            logits,
            deltas,
            delta_stds=self._delta_stds[-1],
            size=size,
            score_threshold=box.score_threshold,
            nms_iou=box.nms_iou,
            max_detections=box.max_detections,
            suppress=joint_nms,
        )
        if not model.gives_masks:
            return tuple(found)
        return (*found, self._masks(pyramid, found))

    def differences(
        self, expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, str]]:
        """See `Graph`: by `detection_differences`."""
        threshold = self.model.config.box.score_threshold
        return detection_differences(
            expected, found, score_threshold=threshold, tolerance=self.tolerance
        )

    def _refine(
        self, pyramid: list[Tensor], boxes: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Regions of the last box head, the mean of all stages' logits, and the last deltas."""
        heads, stds = _as_list(cast(nn.Module, self.model.roi_head.bbox_head)), self._delta_stds
        strides, bins = self.model.strides, self.model.config.box.roi_size
        all_logits = []
        for stage, head in enumerate(heads):
            pooled = pool_levels(pyramid, boxes, strides=strides, output_size=bins)
            logits, deltas = head(pooled)  # (R, K + 1), (R, K, 4)
            all_logits.append(logits)
            if stage < len(heads) - 1:
                labels = logits[:, :-1].argmax(dim=1)  # (R,)
                indices = labels[:, None, None].expand(-1, 1, 4)
                best = deltas.gather(1, indices)[:, 0]  # (R, 4)
                boxes = clip_boxes(decode_boxes(boxes, best, stds=stds[stage]), size)
        return boxes, torch.stack(all_logits).mean(dim=0), deltas

    def _masks(self, pyramid: list[Tensor], found: Detections) -> Tensor:
        """Masks `(N, m, m)` of the detections' classes, the mean of the heads' probabilities."""
        mask = mask_config(self.model.config)
        assert mask is not None
        pooled = pool_levels(
            pyramid, found.boxes, strides=self.model.strides, output_size=mask.roi_size
        )
        masks = []
        for head in self.model.roi_head.mask_heads:
            logits = head(pooled)  # (N, K, m, m)
            side = logits.shape[-1]
            labels = found.labels[:, None, None, None].expand(-1, 1, side, side)
            masks.append(logits.gather(1, labels)[:, 0].float().sigmoid())
        return torch.stack(masks).mean(dim=0)  # (N, m, m)

    @property
    def _delta_stds(self) -> tuple[tuple[float, float, float, float], ...]:
        """Scale of the deltas of each stage."""
        config = self.model.config
        if isinstance(config, CascadeRCNNConfig):
            return config.stage_delta_stds
        return (cast(FasterRCNNConfig, config).delta_stds,)


def propose_best(
    rpn_head: RPNHead, pyramid: list[Tensor], size: tuple[int, int], config: RPNConfig
) -> Tensor:
    """Proposals `(N, 4)` of one image, xyxy, px, best first: as `propose`.

    Args:
        rpn_head: the network.
        pyramid: `(1, C, H_i, W_i)` each.
        size: true (height, width) of the image, px.
        config: numbers of boxes and overlap.
    """
    all_boxes, all_scores, all_levels, all_valid = [], [], [], []
    for level, (maps, stride) in enumerate(zip(pyramid, rpn_head.strides, strict=True)):
        logits, deltas, anchors = rpn_head.forward_level(maps, stride)
        # As many of each level, whatever its size: those that a small one lacks come last.
        num_anchors = logits.shape[1]
        padded = F.pad(logits[0], (0, config.test_nms_pre), value=_WORST)
        logits, best = topk_in_order(padded, config.test_nms_pre)  # (n,)
        is_anchor = best < num_anchors
        best = best.clamp(max=num_anchors - 1)
        boxes = clip_boxes(
            decode_boxes(anchors[best], deltas[0, best], stds=ANCHOR_DELTA_STDS), size
        )
        all_boxes.append(boxes)
        all_scores.append(logits.sigmoid())
        all_levels.append(torch.full_like(best, level))
        all_valid.append(is_anchor & is_nonempty(boxes))
    valid = torch.cat(all_valid).nonzero()[:, 0]
    boxes, scores, levels = (
        torch.cat(parts)[valid] for parts in (all_boxes, all_scores, all_levels)
    )
    keep = joint_nms(boxes, scores, levels, iou_threshold=config.nms_iou)
    return boxes[keep[: config.test_max_proposals]]


def _as_list(heads: nn.Module) -> list[nn.Module]:
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]
