"""The part of a config that every whole model has; nothing of torch is imported for it."""

from dataclasses import dataclass
from typing import ClassVar

from swin_dense.configs import BackboneConfig
from swin_dense.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that fixes a whole model's architecture.

    Attributes:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`).
        num_classes: classes K, without background.
    """

    ranges: ClassVar[Ranges] = {"num_classes": (1, 20_000)}

    backbone: BackboneConfig
    num_classes: int
