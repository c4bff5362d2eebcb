"""A backbone from outside: a small convolutional network."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import swin_dense as sd


@dataclass(frozen=True, kw_only=True)
class ToyConvNetConfig(sd.BackboneConfig):
    """Strided convolutions, with twice the channels at each level."""

    kind: ClassVar[str] = "toy_conv_net"

    width: int = 8

    @property
    def title(self) -> str:
        return f"toy ConvNet of width {self.width}"

    def build(self) -> "ToyConvNet":
        return ToyConvNet(self)


class ToyConvNet(nn.Module):
    """Four levels; a convolution of 3 x 3 with stride 2 and padding 1 gives ceil(H / 2) rows."""

    def __init__(self, config: ToyConvNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = tuple(config.width * 2**level for level in range(4))
        self.strides = (4, 8, 16, 32)
        widths = (config.width, *self.channels)
        self.stem = nn.Conv2d(3, config.width, 3, stride=2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU())
            for before, after in pairwise(widths)
        )
        if config.frozen_stages >= 0:
            self.stem.requires_grad_(False)
        for stage in self.stages[: max(config.frozen_stages, 0)]:
            stage.requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = F.relu(self.stem(pixels))
        features = []
        for stage in self.stages:
            if self.config.gradient_checkpointing and self.training:
                maps = checkpoint(stage, maps, use_reentrant=False)
            else:
                maps = stage(maps)
            features.append(maps)
        return features

    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if name.endswith("bias")}

    def blocks(self) -> list[nn.Module]:
        return list(self.stages)
