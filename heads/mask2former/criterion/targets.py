"""Ground truth of an image as labels and masks, whatever the task; and its checks."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from swin_dense.heads.detection.targets import RunLengths

IGNORED_LABEL = 255


class _Masks(TypedDict):
    labels: Tensor
    masks: Tensor


class MaskTarget(_Masks, total=False):
    """The objects of one image, or its segments, without crowds.

    Keys:
        labels: `(G,)` int64 in 0..K-1.
        masks: `(G, H, W)` bool or uint8, at the image's true size.
        has_mask: `(G,)` bool, false for objects whose mask is not known, which are left out; absent
            where all are known.
    """

    has_mask: Tensor


def mask_targets(
    targets: Sequence[Mapping[str, Any]],
    sizes: Sequence[tuple[int, int]],
    *,
    num_classes: int,
    device: torch.device,
) -> list[MaskTarget]:
    """Check the objects of each image and move them to a device.

    Args:
        targets: `MaskTarget`s, what else they hold being passed over: a detector's will do. Masks
            may be COCO's uncompressed run lengths too, as `predict` gives them: `RunLengths`.
        sizes: (height, width) of each image, px.
        num_classes: classes K.
        device: where to.

    Raises:
        ValueError: targets do not fit the images in number, shape or (looked up on the CPU only,
            where it costs no waiting) labels.
    """
    if len(targets) != len(sizes):
        raise ValueError(f"targets must be one an image, got {len(targets)} for {len(sizes)}")
    moved = []
    for i, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        if not isinstance(target, Mapping):
            raise ValueError(
                f"target of image {i} must be a dict of labels and masks, got a "
                f"{type(target).__name__}; label maps are for task semantic"
            )
        missing = [name for name in ("labels", "masks") if name not in target]
        if missing:
            raise ValueError(f"target of image {i} must have {', '.join(missing)}")
        labels, masks = target["labels"], target["masks"]
        if not isinstance(masks, Tensor):
            masks = _expand(masks, size, index=i)
        shape = (len(labels), *size)
        if tuple(masks.shape) != shape:
            raise ValueError(
                f"masks of image {i} must be {shape} for {len(labels)} labels and a "
                f"{size[0]} x {size[1]} image, got {tuple(masks.shape)}"
            )
        if labels.device.type == "cpu" and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"labels of image {i} must be in 0..{num_classes - 1}, got {low}..{high}"
                )
        known = target.get("has_mask")
        if known is not None:
            labels, masks = labels[known.to(labels.device)], masks[known.to(masks.device)]
        moved.append(
            MaskTarget(
                labels=labels.to(device, torch.int64, non_blocking=True),
                masks=masks.to(device, non_blocking=True),
            )
        )
    return moved


def _expand(masks: Sequence[RunLengths], size: tuple[int, int], *, index: int) -> Tensor:
    """Bitmaps `(G, H, W)` bool of run lengths, which go down the columns."""
    bitmaps = torch.zeros(len(masks), size[1], size[0], dtype=torch.bool)
    for bitmap, mask in zip(bitmaps, masks, strict=True):
        counts = mask.get("counts") if isinstance(mask, Mapping) else None
        if not isinstance(counts, list) or tuple(mask["size"]) != tuple(size):
            got = (
                f"a {type(mask).__name__}"
                if not isinstance(mask, Mapping)
                else f"size {mask.get('size')} and counts that are a {type(counts).__name__}"
            )
            raise ValueError(
                f"masks of image {index} must be a tensor, or run lengths of size {list(size)} "
                f"with a list of counts, got {got}"
            )
        runs = torch.tensor(counts, dtype=torch.int64)
        if int(runs.sum()) != bitmap.numel() or bool((runs < 0).any()):
            raise ValueError(
                f"run lengths of image {index} must sum to {bitmap.numel()} px, got {sum(counts)}"
            )
        is_inside = torch.arange(len(runs)) % 2 == 1
        bitmap.view(-1).copy_(is_inside.repeat_interleave(runs))
    return bitmaps.transpose(1, 2)  # (G, H, W)


def semantic_targets(
    label_maps: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    *,
    num_classes: int,
    device: torch.device,
) -> list[MaskTarget]:
    """Make one mask of each class that a label map holds.

    The host waits once, for the classes of all images together; not for label maps on the CPU.

    Args:
        label_maps: `(H, W)` int64 each, 0..K-1, and 255 is ignored.
        sizes: (height, width) of each image, px.
        num_classes: classes K.
        device: where to.

    Raises:
        ValueError: as of `mask_targets`.
    """
    if len(label_maps) != len(sizes):
        raise ValueError(
            f"targets must be one label map per image, got {len(label_maps)} for {len(sizes)}"
        )
    for i, (label_map, size) in enumerate(zip(label_maps, sizes, strict=True)):
        is_map = isinstance(label_map, Tensor) and label_map.dtype == torch.int64
        if not is_map or tuple(label_map.shape) != size:
            got = (
                f"{label_map.dtype} of {tuple(label_map.shape)}"
                if isinstance(label_map, Tensor)
                else f"a {type(label_map).__name__}"
            )
            raise ValueError(f"label map {i} must be int64 of its image's size {size}, got {got}")
        if label_map.device.type == "cpu":
            _check_labels(label_map, i, num_classes)
    targets = []
    present = torch.stack([_present_labels(label_map) for label_map in label_maps])
    for row, label_map in zip(present[:, :num_classes].cpu(), label_maps, strict=True):
        labels = row.nonzero().flatten().to(device, non_blocking=True)  # (G,)
        masks = label_map.to(device, non_blocking=True) == labels[:, None, None]
        targets.append(MaskTarget(labels=labels, masks=masks))
    return targets


def _present_labels(label_map: Tensor) -> Tensor:
    """Presence of each label 0..255 in a label map, `(256,)` bool on its device."""
    present = torch.zeros(IGNORED_LABEL + 1, dtype=torch.bool, device=label_map.device)
    present[label_map.flatten()] = True
    return present


def _check_labels(label_map: Tensor, index: int, num_classes: int) -> None:
    wrong = ((label_map < 0) | (label_map >= num_classes)) & (label_map != IGNORED_LABEL)
    if wrong.any():
        values = label_map[wrong].unique().tolist()
        raise ValueError(
            f"labels must be in 0..{num_classes - 1} or {IGNORED_LABEL}, "
            f"got {values[:8]} in label map {index}"
        )
