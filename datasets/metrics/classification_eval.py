"""Scores of classification from counts: top-1 and top-5 accuracy, of all images and by class.

Russakovsky et al. 2015 (ILSVRC), section 4: an image is right at top-5 where its class is among the
five with the highest scores. All counts are whole numbers, so the scores do not depend on batches,
order or the number of processes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

_TOP = 5


class ClassificationScores(TypedDict):
    """Fractions and counts; None where there is no image.

    Keys:
        top1: share of the images whose highest score is that of their class.
        top5: share of the images whose class is among the five highest, or all of fewer.
        mean_top1: mean of `top1_classes` over the classes that have images.
        top1_classes: of each class.
        top5_classes: of each class.
        images: of each class, their number.
    """

    top1: float | None
    top5: float | None
    mean_top1: float | None
    top1_classes: list[float | None]
    top5_classes: list[float | None]
    images: list[int]


class ClassificationEvaluator:
    """Count scores against labels, image by image.

    Args:
        num_classes: classes K.

    Attributes:
        num_classes: classes K.
        counts: `(3, K)` int64: images of each class, those right at top-1, and at top-5.
        confusions: number of images by (their class, the class of the highest score); classes are
            too many for a whole matrix where there are 21841.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.num_classes = num_classes
        self.counts = np.zeros((3, num_classes), np.int64)
        self.confusions: Counter[tuple[int, int]] = Counter()

    def update(self, scores: Sequence[Tensor], labels: Sequence[int]) -> list[float]:
        """Count some images.

        Args:
            scores: `(K,)` each; of equal ones the first counts as the higher.
            labels: 0..K-1, one an image.

        Returns:
            The score of its class in each image.

        Raises:
            ValueError: numbers differ, or a label is out of range.
        """
        if len(scores) != len(labels):
            raise ValueError(
                f"scores and labels must be one an image, got {len(scores)} and {len(labels)}"
            )
        found = []
        for image_scores, label in zip(scores, labels, strict=True):
            if tuple(image_scores.shape) != (self.num_classes,):
                raise ValueError(
                    f"scores must be ({self.num_classes},), got {tuple(image_scores.shape)}"
                )
            if not 0 <= label < self.num_classes:
                raise ValueError(f"labels must be in 0..{self.num_classes - 1}, got {label}")
            first = top_labels(image_scores, _TOP)
            self.counts[:, label] += (1, first[0] == label, label in first)
            self.confusions[label, first[0]] += 1
            found.append(float(image_scores[label]))
        return found

    def merge(self, counts: np.ndarray, confusions: Mapping[tuple[int, int], int]) -> None:
        """Add the counts of another evaluator."""
        self.counts += counts
        self.confusions.update(confusions)

    def compute(self) -> ClassificationScores:
        """The scores of all images so far."""
        images, top1, top5 = self.counts
        shares = [
            [
                int(right) / int(count) if count else None
                for right, count in zip(row, images, strict=True)
            ]
            for row in (top1, top5)
        ]
        total = int(images.sum())
        occurring = [share for share in shares[0] if share is not None]
        return {
            "top1": int(top1.sum()) / total if total else None,
            "top5": int(top5.sum()) / total if total else None,
            "mean_top1": sum(occurring) / len(occurring) if occurring else None,
            "top1_classes": shares[0],
            "top5_classes": shares[1],
            "images": images.tolist(),
        }

    def matrix(self, labels: Sequence[int]) -> np.ndarray:
        """`(L + 1, L + 1)` int64: truth and prediction of some classes, and of all others last."""
        places = {label: place for place, label in enumerate(labels)}
        other = len(labels)
        found = np.zeros((other + 1, other + 1), np.int64)
        for (truth, predicted), count in self.confusions.items():
            found[places.get(truth, other), places.get(predicted, other)] += count
        return found

    def most_confused(self, number: int) -> list[int]:
        """Labels of the classes with the most wrong images, theirs or taken for them; sorted."""
        wrong: Counter[int] = Counter()
        for (truth, predicted), count in self.confusions.items():
            if truth != predicted:
                wrong.update({truth: count, predicted: count})
        ordered = sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))
        return sorted(label for label, _ in ordered[:number])


def top_labels(scores: Tensor, number: int) -> list[int]:
    """Labels of the highest scores, the highest first; of equal ones the first."""
    number = min(number, len(scores))
    order = torch.argsort(scores, descending=True, stable=True)
    return [int(label) for label in order[:number]]
