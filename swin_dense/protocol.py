"""The protocol of backbones: all that heads, optimiser, sharding, files and flags ask of one.

Heads use `channels`, `strides` and the forward. The optimiser asks which parameters are not
decayed, sharding and gradient checkpointing ask for the blocks. Files and flags know a backbone by
its config: numbers and strings, and `build`.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from swin_dense.configs import BackboneConfig
from swin_dense.padding import ImageBatch


@runtime_checkable
class Backbone(Protocol):
    """A pyramid of feature maps from images of any size; an `nn.Module`.

    Attributes:
        config: what it is made of.
        channels: of each map, fine to coarse.
        strides: of each map, px.
    """

    config: BackboneConfig
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, pixels: Tensor, /) -> list[Tensor]:
        """Normalised `(B, 3, H, W)` float to one contiguous `(B, C_i, ceil(H/s_i), ceil(W/s_i))`
        a level, fine to coarse; any H and W from 1."""

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters, within the backbone, that the optimiser does not decay."""

    def blocks(self) -> list[nn.Module]:
        """Submodules, each called once a forward, that are units of sharding, and of gradient
        checkpointing where `config.gradient_checkpointing` asks for it."""


@runtime_checkable
class PackingBackbone(Protocol):
    """A backbone that works on images of different sizes in one pass, without padding them to one
    size. It need not be one: another is run once for each size."""

    def group_pyramids(self, batch: ImageBatch) -> list[list[Tensor]]:
        """For each of `batch.size_groups` the maps of its images, as the forward gives them."""
