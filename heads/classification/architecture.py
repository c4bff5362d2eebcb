"""A classifier's architecture, read off its weights, and the names of ImageNet's classes."""

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from swin_dense.checkpoints.architecture import read_shape
from swin_dense.checkpoints.key_maps import BACKBONE
from swin_dense.heads.classification.config import IMAGENET_1K, IMAGENET_22K, ClassifierConfig


def is_classifier(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a classifier."""
    return "head.weight" in state and all(key.startswith((BACKBONE, "head.")) for key in state)


def read_classifier_config(
    state: Mapping[str, Tensor], released: ClassifierConfig
) -> ClassifierConfig:
    """Read the number of classes off the weights.

    Args:
        state: under our names.
        released: gives what weights do not tell.

    Raises:
        ValueError: the head's weight is missing or has another rank.
    """
    num_classes, _ = read_shape(state, "head.weight", rank=2)
    return dataclasses.replace(released, num_classes=num_classes)


def released_class_names(num_classes: int, stored: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of the classes of a published file.

    Files with ImageNet-1K's 1000 classes have them in one order everywhere, that of the sorted
    WordNet ids. The 21841 of ImageNet-22K are in an order of Microsoft's own, which the names that
    are published with some copies do not follow: those files have no names here.

    Args:
        num_classes: of the file.
        stored: names that the file brings, or None.
    """
    if num_classes == IMAGENET_22K:
        return None
    if stored is not None or num_classes != IMAGENET_1K:
        return None if stored is None else tuple(stored)
    from torchvision.models import Swin_T_Weights

    return tuple(Swin_T_Weights.IMAGENET1K_V1.meta["categories"])
