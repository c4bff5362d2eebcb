"""The protocol of backbones: all that heads, optimiser, sharding, files and flags ask of one.

Heads use `channels`, `strides` and the forward. The optimiser asks which parameters are not
decayed, sharding and gradient checkpointing ask for the blocks. Files and flags know a backbone by
its config: numbers and strings, and `build`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Backbone(Protocol):
    """A pyramid of feature maps from images of any size; an `nn.Module`.

    Attributes:
        config: what it is made of.
        channels: of each map, fine to coarse.
        strides: of each map, px.
    """

    config: "BackboneConfig"
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, pixels: Tensor) -> list[Tensor]:
        """Normalised `(B, 3, H, W)` float to one contiguous `(B, C_i, ceil(H/s_i), ceil(W/s_i))`
        a level, fine to coarse; any H and W from 1."""

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters, within the backbone, that the optimiser does not decay."""

    def blocks(self) -> list[nn.Module]:
        """Submodules, each called once a forward, that are units of sharding, and of gradient
        checkpointing where `config.gradient_checkpointing` asks for it."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(ABC):
    """Numbers and strings that fix a backbone, and what a recipe sets in any of them.

    Attributes:
        kind: how files name this class of configs; see `creation.BACKBONE_KINDS`.
        drop_path_rate: stochastic depth of the last block, 0..1; rises linearly from 0.
        frozen_stages: -1 trains all; 0 freezes what stands before the first stage, n also stages 1
            to n with their output norms (as in mmdetection; Microsoft's code freezes one stage
            fewer).
        gradient_checkpointing: compute each block again in the backward pass to save memory.
    """

    kind: ClassVar[str]

    drop_path_rate: float = 0.0
    frozen_stages: int = -1
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.drop_path_rate < 1.0:
            raise ValueError(f"drop_path_rate must be in [0, 1), got {self.drop_path_rate}")

    @property
    @abstractmethod
    def title(self) -> str:
        """Name of the variant, or its sizes, for messages and tables."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Make the backbone, a `Backbone`, in training mode."""

    def without_pretrained(self) -> "BackboneConfig":
        """The config whose `build` reads no weights, for a model whose weights come from a file."""
        return self
