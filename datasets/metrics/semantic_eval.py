"""Scores of semantic segmentation from one confusion matrix over the whole data set.

Long et al. 2015, section 5 (mean IU); the counts are mmsegmentation's. All counts are whole
numbers, so the scores do not depend on batches, order or the number of processes.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from swin_dense.datasets.label_maps import IGNORED_LABEL


class SemanticScores(TypedDict):
    """Fractions and pixel counts; None where a denominator is 0.

    Keys:
        mIoU: mean of `IoU` over the classes that occur in labels or predictions.
        mAcc: mean share of a class's pixels predicted so, over the classes that occur in labels.
        aAcc: share of all labelled pixels that are right.
        IoU: per class, intersection over union.
        area_intersect: per class, pixels labelled and predicted so.
        area_union: per class, pixels labelled or predicted so.
        area_pred: per class, pixels predicted so; where a label is ignored none is counted.
        area_label: per class, pixels labelled so.
    """

    mIoU: float | None
    mAcc: float | None
    aAcc: float | None
    IoU: list[float | None]
    area_intersect: list[int]
    area_union: list[int]
    area_pred: list[int]
    area_label: list[int]


class SemanticEvaluator:
    """Count predictions against labels, image by image, on the device the predictions are on.

    Args:
        num_classes: classes K.
        device: where the counts are kept.

    Attributes:
        num_classes: classes K.
        matrix: `(K, K)` int64; entry [i, j] counts the pixels of label i predicted as j.
    """

    def __init__(self, num_classes: int, *, device: torch.device | str = "cpu") -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.num_classes = num_classes
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(
        self, predictions: Sequence[Tensor], label_maps: Sequence[Tensor]
    ) -> list[float | None]:
        """Count some images.

        Args:
            predictions: `(H, W)` integers in 0..K-1 each.
            label_maps: `(H, W)` integers in 0..K-1 or 255 (ignored) each, of the same size.

        Returns:
            The mIoU of each image by itself, over the classes that occur in its labels or its
            prediction; None where every pixel is ignored.

        Raises:
            ValueError: numbers of images, or sizes, differ, or a value is out of range.
        """
        if len(predictions) != len(label_maps):
            raise ValueError(
                "predictions and label maps must be one per image, "
                f"got {len(predictions)} and {len(label_maps)}"
            )
        scores = []
        for index, (prediction, label_map) in enumerate(zip(predictions, label_maps, strict=True)):
            if prediction.shape != label_map.shape:
                raise ValueError(
                    f"prediction and label map {index} must have one size, "
                    f"got {tuple(prediction.shape)} and {tuple(label_map.shape)}"
                )
            label_map = label_map.to(prediction.device)
            counted = label_map != IGNORED_LABEL
            labels, predicted = label_map[counted].long(), prediction[counted].long()  # (N,) each
            self._check_range(labels, f"labels of image {index}")
            self._check_range(predicted, f"predictions of image {index}")
            pairs = labels * self.num_classes + predicted  # (N,)
            counts = torch.bincount(pairs, minlength=self.num_classes**2)
            counts = counts.view_as(self.matrix)
            self.matrix += counts.to(self.matrix.device)
            scores.append(_mean_iou(counts))
        return scores

    def merge(self, counts: Tensor) -> None:
        """Add the counts of another process on its part of the images.

        Args:
            counts: its `matrix`, `(K, K)` int64.

        Raises:
            ValueError: it is of another number of classes.
        """
        if counts.shape != self.matrix.shape:
            raise ValueError(
                f"counts must be {tuple(self.matrix.shape)} for {self.num_classes} classes, "
                f"got {tuple(counts.shape)}"
            )
        self.matrix += counts.to(self.matrix.device)

    def compute(self) -> SemanticScores:
        """Scores of all images counted so far."""
        matrix = self.matrix.cpu()
        intersect = matrix.diagonal().tolist()
        label = matrix.sum(dim=1).tolist()
        pred = matrix.sum(dim=0).tolist()
        union = [a + b - both for a, b, both in zip(label, pred, intersect, strict=True)]
        iou = [_divide(*counts) for counts in zip(intersect, union, strict=True)]
        accuracy = [_divide(*counts) for counts in zip(intersect, label, strict=True)]
        return {
            "mIoU": _mean(iou),
            "mAcc": _mean(accuracy),
            "aAcc": _divide(sum(intersect), sum(label)),
            "IoU": iou,
            "area_intersect": intersect,
            "area_union": union,
            "area_pred": pred,
            "area_label": label,
        }

    def _check_range(self, values: Tensor, what: str) -> None:
        if values.numel():
            low, high = values.aminmax()
            if low < 0 or high >= self.num_classes:
                raise ValueError(
                    f"{what} must be in 0..{self.num_classes - 1}, got {int(low)}..{int(high)}"
                )


def _mean_iou(matrix: Tensor) -> float | None:
    """Mean over the classes that occur."""
    intersect = matrix.diagonal()
    union = matrix.sum(dim=0) + matrix.sum(dim=1) - intersect
    occurs = union > 0
    mean = (intersect[occurs].double() / union[occurs]).mean().item()
    return mean if bool(occurs.any()) else None


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
