"""Feature maps of a batch in groups: a pyramid for the images of each size.

A batch must not change what an image gives. Windows, convolutions, anchors and pooling all look
beyond an image's end; so its maps end where it ends, and images of one size share them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from swin_dense.padding import ImageBatch, SizeGroup
from swin_dense.protocol import PackingBackbone

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
        """Run a backbone over a batch.

        One that has `group_pyramids` runs once over all images, whatever their sizes. Any other
        runs once for each size in eval mode, and in training, where its BatchNorms look at the
        batch, once over all images padded to the largest, which are then one group.
        """
        groups = batch.size_groups
        if len(groups) > 1 and isinstance(backbone, PackingBackbone):
            return cls(groups, tuple(backbone.group_pyramids(batch)))
        if len(groups) > 1 and backbone.training:
            height, width = batch.pixels.shape[-2:]
            groups = (SizeGroup(tuple(range(len(batch))), (int(height), int(width))),)
        return cls(groups, tuple(backbone(batch.group_pixels(group)) for group in groups))

    def padded(self, batch: ImageBatch, strides: Sequence[int]) -> list[Tensor]:
        """The levels of the whole batch, `(B, C_i, ceil(H/s_i), ceil(W/s_i))`, zeros beyond the
        images."""
        height, width = batch.pixels.shape[-2:]
        if len(self.groups) == 1 and self.groups[0].size == (height, width):
            return list(self.maps[0])
        levels = []
        for level, stride in enumerate(strides):
            maps = [pyramid[level] for pyramid in self.maps]
            shape = len(batch), maps[0].shape[1], -(-height // stride), -(-width // stride)
            joined = maps[0].new_zeros(shape)
            for image, (group, place) in enumerate(self.places):
                own = maps[group][place]  # (C_i, h, w)
                joined[image, :, : own.shape[1], : own.shape[2]] = own
            levels.append(joined)
        return levels

    def apply(self, layer: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> "Pyramids":
        """Pyramids that a layer makes of these, each by itself."""
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
