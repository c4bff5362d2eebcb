"""Detections with masks as compressed run lengths: no bitmap of an image is made or kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from swin_dense.datasets.masks import compress_masks
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.heads.whole_model import Model


def predict_compactly(
    model: Model,
    images: Sequence[Tensor],
    original_sizes: Sequence[tuple[int, int]],
    *,
    score_threshold: float = 0.0,
) -> list[dict[str, Any]]:
    """Detect objects in images, with masks as compressed run lengths.

    Args:
        model: a detector. One that gives bitmaps alone has them compressed image by image.
        images: `(3, h, w)` uint8 each, resized.
        original_sizes: (height, width) of each image before; results are in that frame.
        score_threshold: smallest score of a result, 0..1.

    Returns:
        A dict an image: `boxes` `(N, 4)` xyxy px, `scores` `(N,)`, `labels` `(N,)`, and of models
        with masks `masks`, a list of N compressed masks.
    """
    if isinstance(model, TwoStageDetector | Mask2Former):
        results: Sequence[Mapping[str, Any]] = model.predict(
            images,
            original_sizes=original_sizes,
            score_threshold=score_threshold,
            masks="run_lengths",
        )
    else:
        results = model.predict(images, original_sizes=original_sizes)
        if score_threshold > 0:
            results = [keep_detections(r, r["scores"] >= score_threshold) for r in results]
    return [
        {**result, "masks": compress_masks(result["masks"])} if "masks" in result else {**result}
        for result in results
    ]


def keep_detections(result: Mapping[str, Any], is_kept: Tensor) -> dict[str, Any]:
    """The detections of an image that a mask `(N,)` bool, or indices `(n,)` int64, choose."""
    places = is_kept.nonzero().flatten() if is_kept.dtype == torch.bool else is_kept
    return {
        name: value[places.to(value.device)]
        if isinstance(value, Tensor)
        else [value[place] for place in places.tolist()]
        for name, value in result.items()
    }
