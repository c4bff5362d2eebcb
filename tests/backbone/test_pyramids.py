"""Pyramids of groups: which images are together, and the order of the batch."""

import torch
from torch import Tensor, nn

from swin_dense.padding import batch_images
from swin_dense.pyramids import Pyramids

SIZES = ((40, 64), (20, 20), (33, 50), (32, 32), (1, 1))


class Pooling(nn.Module):
    """Means of cells of 4 and of 8 px."""

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d(pixels, stride) for stride in (4, 8)]


def pyramids(generator: torch.Generator, *, training: bool = False) -> Pyramids:
    """Of images that are padded to 64 x 64 and to 32 x 32 px."""
    images = [torch.rand(3, *size, generator=generator) for size in SIZES]
    return Pyramids.of(Pooling().train(training), batch_images(images))


def test_images_of_one_padded_size_share_a_pyramid(generator: torch.Generator) -> None:
    found = pyramids(generator)
    assert [(group.indices, group.size) for group in found.groups] == [
        *(((0, 2), (64, 64)), ((1, 3, 4), (32, 32)))
    ]
    shapes = [[tuple(level.shape) for level in levels] for levels in found.maps]
    assert shapes == [[(2, 3, 16, 16), (2, 3, 8, 8)], [(3, 3, 8, 8), (3, 3, 4, 4)]]


def test_a_backbone_that_cannot_pack_is_trained_on_the_padded_batch(
    generator: torch.Generator,
) -> None:
    found = pyramids(generator, training=True)
    assert [(group.indices, group.size) for group in found.groups] == [((0, 1, 2, 3, 4), (64, 64))]
    assert [tuple(level.shape) for level in found.maps[0]] == [(5, 3, 16, 16), (5, 3, 8, 8)]


def test_a_layer_is_applied_to_each_pyramid(generator: torch.Generator) -> None:
    found = pyramids(generator)
    doubled = found.apply(lambda levels: [2 * level for level in levels])
    assert doubled.groups == found.groups
    for levels, expected in zip(doubled.maps, found.maps, strict=True):
        assert all(torch.equal(a, 2 * b) for a, b in zip(levels, expected, strict=True))


def test_joining_undoes_splitting(generator: torch.Generator) -> None:
    found, names = pyramids(generator), list("abcde")
    assert found.split(names) == [["a", "c"], ["b", "d", "e"]]
    assert found.join(found.split(names)) == names
    assert found.places == [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]


def test_padded_maps_hold_each_image_and_zeros(generator: torch.Generator) -> None:
    images = [torch.rand(3, *size, generator=generator) for size in SIZES]
    batch = batch_images(images)
    levels = Pyramids.of(Pooling().eval(), batch).padded(batch, (4, 8))
    for level, stride in zip(levels, (4, 8), strict=True):
        expected = nn.functional.avg_pool2d(batch.pixels, stride)  # zeros give zeros
        torch.testing.assert_close(level, expected)
