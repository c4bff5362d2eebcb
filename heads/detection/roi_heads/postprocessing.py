"""From the heads' outputs to detections: threshold, suppression, frame of the original image."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.heads.detection.boxes.box_ops import batched_nms, clip_boxes, decode_boxes
from swin_dense.heads.detection.config import BoxConfig
from swin_dense.heads.detection.roi_heads.mask_pasting import paste_masks, paste_run_lengths
from swin_dense.heads.detection.targets import DetectionResult, MaskForm


class Detections(NamedTuple):
    """Detections of one image, best first.

    Attributes:
        boxes: `(N, 4)` float32, xyxy, px of the input frame.
        scores: `(N,)` float32 in 0..1.
        labels: `(N,)` int64 in 0..K-1.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def postprocess_boxes(
    boxes: Sequence[Tensor],
    logits: Tensor,
    deltas: Tensor,
    *,
    config: BoxConfig,
    delta_stds: Sequence[float],
    sizes: Sequence[tuple[int, int]],
) -> list[Detections]:
    """Split a box head's outputs by image and select the detections of each.

    Args:
        boxes: `(R_i, 4)` per image, the regions, xyxy, px of the input frame.
        logits: `(R, K + 1)` of all images, background last.
        deltas: `(R, K, 4)`.
        config: thresholds and the largest number of detections.
        delta_stds: scale of the deltas.
        sizes: true (height, width) of each input image.

    Returns:
        One entry per image, in the input frame.
    """
    counts = [len(regions) for regions in boxes]
    return [
        select_detections(
            *image,
            delta_stds=delta_stds,
            size=size,
            score_threshold=config.score_threshold,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
        )
        for *image, size in zip(
            boxes, logits.split(counts), deltas.split(counts), sizes, strict=True
        )
    ]


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
    suppress: Callable[..., Tensor] = batched_nms,
) -> Detections:
    """Select the detections of one image from a box head's outputs.

    Args:
        boxes: `(R, 4)`, the regions, xyxy, px of the input frame.
        logits: `(R, K + 1)`, background last.
        deltas: `(R, K, 4)`.
        delta_stds: scale of the deltas.
        size: true (height, width) of the input image; boxes are clipped to it.
        score_threshold: a detection's score is above this.
        nms_iou: overlap with a better box of the class above which a box is suppressed.
        max_detections: largest number of detections kept.
        suppress: `batched_nms`, or a function that does the same.

    Returns:
        Detections in the input frame.
    """
    scores = logits.softmax(dim=1)[:, :-1]  # (R, K)
    regions, labels = (scores > score_threshold).nonzero(as_tuple=True)  # (n,) each
    scores = scores[regions, labels]
    decoded = decode_boxes(boxes[regions], deltas[regions, labels], stds=delta_stds)
    decoded = clip_boxes(decoded, size)  # (n, 4)
    keep = suppress(decoded, scores, labels, iou_threshold=nms_iou)[:max_detections]
    return Detections(decoded[keep], scores[keep], labels[keep])


def drop_low_scores(
    detections: Sequence[Detections], score_threshold: float
) -> Sequence[Detections]:
    """The detections of each image whose score is at least a threshold."""
    if score_threshold <= 0:  # all are, and the device need not be waited for
        return detections
    return [
        Detections(*(part[image.scores >= score_threshold] for part in image))
        for image in detections
    ]


def rescale_to_original(
    detections: Sequence[Detections],
    masks: Sequence[Tensor] | None,
    *,
    sizes: Sequence[tuple[int, int]],
    original_sizes: Sequence[tuple[int, int]],
    mask_form: MaskForm = "bitmaps",
) -> list[DetectionResult]:
    """Rescale detections to the images before they were resized, and paste their masks.

    After the suppression, as mmdetection 3 does where there are masks (its version 2: before). The
    overlaps are the same in either frame but for rounding.

    Args:
        detections: one per image, in the input frame.
        masks: `(N, m, m)` in 0..1 per image, each of its box; None: results have no masks.
        sizes: true (height, width) of each input image.
        original_sizes: (height, width) of each image before it was resized.
        mask_form: of the results.

    Returns:
        One result per image.
    """
    paste = paste_masks if mask_form == "bitmaps" else paste_run_lengths
    results: list[DetectionResult] = []
    for image, ((boxes, scores, labels), size, original) in enumerate(
        zip(detections, sizes, original_sizes, strict=True)
    ):
        y, x = size[0] / original[0], size[1] / original[1]
        boxes = boxes / torch.tensor([x, y, x, y]).to(boxes.device, non_blocking=True)
        result: DetectionResult = {"boxes": boxes, "scores": scores, "labels": labels}
        if masks is not None:
            result["masks"] = paste(masks[image], boxes, original)
        results.append(result)
    return results
