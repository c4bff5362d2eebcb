"""Ground truth and detections of an image as typed dicts, and the check of the former."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

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


class _Objects(TypedDict):
    boxes: Tensor
    labels: Tensor


class DetectionTarget(_Objects, total=False):
    """The objects of one image, without crowds.

    Keys:
        boxes: `(G, 4)` float32, xyxy, px of the input frame.
        labels: `(G,)` int64 in 0..K-1.
        masks: `(G, H, W)` bool or uint8, at the image's true size; a model that gives no masks does
            without.
        has_mask: `(G,)` bool, false for the objects whose mask is not known, whose row of `masks`
            is not looked at; absent where all are known.
    """

    masks: Tensor
    has_mask: Tensor


class _Found(TypedDict):
    boxes: Tensor
    scores: Tensor
    labels: Tensor


class DetectionResult(_Found, total=False):
    """Detections of one image, best first.

    Keys:
        boxes: `(N, 4)` float32, xyxy, px.
        scores: `(N,)` float32 in 0..1.
        labels: `(N,)` int64 in 0..K-1.
        masks: `(N, H, W)` bool, or where they were asked for the run lengths of each; absent from a
            model that gives no masks.
    """

    masks: Tensor | list[RunLengths]


def check_targets(
    targets: Sequence[DetectionTarget],
    sizes: Sequence[tuple[int, int]],
    *,
    num_classes: int,
    with_masks: bool = True,
) -> None:
    """Refuse targets that do not fit their images, without waiting for a device.

    Args:
        targets: one per image.
        sizes: true (height, width) of each image.
        num_classes: K; values of labels and boxes are looked at if they are on the CPU.
        with_masks: true where masks are learned; else they are not looked at.

    Raises:
        ValueError: a target does not fit its image; the message names both.
    """
    if len(targets) != len(sizes):
        raise ValueError(f"targets must be one an image, got {len(targets)} for {len(sizes)}")
    for i, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        parts = {"boxes": (4,), "labels": ()} | ({"masks": size} if with_masks else {})
        missing = [name for name in parts if name not in target]
        if missing:
            raise ValueError(f"target of image {i} must have {', '.join(missing)}")
        labels = target["labels"]
        num = len(labels)
        if with_masks and "has_mask" in target:
            parts["has_mask"] = ()
        tensors: Mapping[str, Any] = target
        for name, inner in parts.items():
            shape, got = (num, *inner), tuple(tensors[name].shape)
            if got != shape:
                raise ValueError(
                    f"{name} of image {i} must be {shape} for {num} labels and a "
                    f"{size[0]} x {size[1]} image, got {got}"
                )
        if "has_mask" in parts and target["has_mask"].dtype != torch.bool:
            raise ValueError(f"has_mask of image {i} must be bool, got {target['has_mask'].dtype}")
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


def move_target(
    target: DetectionTarget, device: torch.device, *, with_masks: bool = True
) -> DetectionTarget:
    """The same objects on a device, boxes as float32; masks where they are learned."""
    moved: DetectionTarget = {
        "boxes": target["boxes"].to(device, torch.float32, non_blocking=True),
        "labels": target["labels"].to(device, torch.int64, non_blocking=True),
    }
    if with_masks:
        moved["masks"] = target["masks"].to(device, non_blocking=True)
        if "has_mask" in target:
            moved["has_mask"] = target["has_mask"].to(device, non_blocking=True)
    return moved
