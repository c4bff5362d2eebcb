"""Feature maps of a batch in groups: a pyramid for the images of each size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from swin_dense.padding import ImageBatch, SizeGroup, group_pyramids

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Pyramids:
    """Feature maps of a batch, one pyramid for each group of images of one padded size.

    Every map ends where its images end. So a convolution finds its zero padding there, no anchor
    lies beyond, and pooling repeats the last row and column: an image gets what it gets alone, and
    no work is done on what lies between images. A batch of one size is one group.

    Attributes:
        groups: the images of each pyramid.
        maps: for each group its levels, fine to coarse, `(B_g, C_i, H_i, W_i)`.
    """

    groups: tuple[SizeGroup, ...]
    maps: tuple[Sequence[Tensor], ...]

    @classmethod
    def of(cls, backbone: nn.Module, batch: ImageBatch) -> "Pyramids":
        """The backbone's maps, of one pass over all images where the backbone can do that."""
        groups, maps = group_pyramids(backbone, batch)
        return cls(tuple(groups), tuple(maps))

    def apply(self, layer: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> "Pyramids":
        """What a layer makes of each pyramid."""
        return Pyramids(self.groups, tuple(layer(levels) for levels in self.maps))

    def split(self, items: Sequence[_Item]) -> list[list[_Item]]:
        """Split one item an image, in the order of the batch, by group."""
        return [[items[image] for image in group.indices] for group in self.groups]

    def join(self, parts: Sequence[Sequence[_Item]]) -> list[_Item]:
        """Join what there is for each image of each group, in the order of the batch."""
        found = {
            image: item
            for group, part in zip(self.groups, parts, strict=True)
            for image, item in zip(group.indices, part, strict=True)
        }
        return [found[image] for image in sorted(found)]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Group of each image, and its place there."""
        return self.join(
            [
                [(g, place) for place in range(len(group.indices))]
                for g, group in enumerate(self.groups)
            ]
        )
