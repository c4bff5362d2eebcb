"""Ground truth and detections of an image as typed dicts, and the check of the former."""

from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor

MaskForm = Literal["bitmaps", "run_lengths"]
"""Form of the masks of detections: `(N, H, W)` bool, or a list of `RunLengths`."""


class RunLengths(TypedDict):
    """One mask as COCO's uncompressed run lengths, which pycocotools' `frPyObjects` takes.

    Keys:
        size: height and width of the image, px.
        counts: px down the columns of the image, alternating between outside and inside the mask,
            outside first; they sum to height * width.
    """

    size: list[int]
    counts: list[int]


class DetectionTarget(TypedDict):
    """The objects of one image, without crowds.

    Keys:
        boxes: `(G, 4)` float32, xyxy, px of the input frame.
        labels: `(G,)` int64 in 0..K-1.
        masks: `(G, H, W)` bool or uint8, at the image's true size.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor


class DetectionResult(TypedDict):
    """Detections of one image, best first.

    Keys:
        boxes: `(N, 4)` float32, xyxy, px.
        scores: `(N,)` float32 in 0..1.
        labels: `(N,)` int64 in 0..K-1.
        masks: `(N, H, W)` bool, or where they were asked for the run lengths of each.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | list[RunLengths]


def check_targets(
    targets: Sequence[DetectionTarget], sizes: Sequence[tuple[int, int]], *, num_classes: int
) -> None:
    """Refuse targets that do not fit their images, without waiting for a device.

    Args:
        targets: one per image.
        sizes: true (height, width) of each image.
        num_classes: K; values of labels and boxes are looked at if they are on the CPU.

    Raises:
        ValueError: a target does not fit its image; the message names both.
    """
    if len(targets) != len(sizes):
        raise ValueError(f"targets must be one an image, got {len(targets)} for {len(sizes)}")
    for i, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        missing = [name for name in DetectionTarget.__annotations__ if name not in target]
        if missing:
            raise ValueError(f"target of image {i} must have {', '.join(missing)}")
        labels = target["labels"]
        num = len(labels)
        for name, part, shape in (
            ("boxes", target["boxes"], (num, 4)),
            ("labels", labels, (num,)),
            ("masks", target["masks"], (num, *size)),
        ):
            if tuple(part.shape) != shape:
                raise ValueError(
                    f"{name} of image {i} must be {shape} for {num} labels and a "
                    f"{size[0]} x {size[1]} image, got {tuple(part.shape)}"
                )
        boxes = target["boxes"]
        if boxes.device.type == "cpu" and not boxes.isfinite().all():
            bad = boxes[~boxes.isfinite().all(dim=1)][0].tolist()
            raise ValueError(f"boxes of image {i} must be finite, got {bad}")
        if labels.device.type == "cpu" and num:
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"labels of image {i} must be in 0..{num_classes - 1}, got {low}..{high}"
                )


def move_target(target: DetectionTarget, device: torch.device) -> DetectionTarget:
    """The same objects on a device, boxes as float32."""
    return {
        "boxes": target["boxes"].to(device, torch.float32, non_blocking=True),
        "labels": target["labels"].to(device, torch.int64, non_blocking=True),
        "masks": target["masks"].to(device, non_blocking=True),
    }
