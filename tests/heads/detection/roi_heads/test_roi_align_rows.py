"""RoIAlign on rows of channels: torchvision's values."""

import pytest
import torch
from torchvision.ops import roi_align

from swin_dense.heads.detection.roi_heads.roi_align_rows import roi_align_rows

SCALES = (1 / 4, 1 / 8)
SIZES = ((17, 23), (9, 12))


@pytest.fixture
def maps(generator) -> list[torch.Tensor]:
    return [torch.randn(2, 5, *size, generator=generator) for size in SIZES]


def draw_rois(generator: torch.Generator, count: int) -> torch.Tensor:
    """Boxes within 68 x 92 px of two images: any, and some of each special kind."""
    corners = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values
    boxes = (corners * torch.tensor([92.0, 68.0])).flatten(1)
    special = torch.tensor(
        [
            [0, 0, 92, 68],  # the image
            [90, 60, 92, 68],  # at its end
            [0, 0, 1, 1],
            [0, 30, 92, 31],  # flat
            [50, 0, 51, 68],
            [20, 20, 20, 40],  # without area
            [8, 8, 36, 36],  # bins of whole cells
            [-9, -9, 5, 5],  # beyond its ends
            [85, 60, 110, 90],
        ]
    )
    boxes = torch.cat([special.float(), boxes])
    images = torch.randint(0, 2, (len(boxes), 1), generator=generator)
    return torch.cat([images.float(), boxes], dim=1)


def pool(maps, sources, rois, output_size: int) -> torch.Tensor:
    """As torchvision pools each box from its map."""
    return torch.cat(
        [
            roi_align(
                maps[source].float(),
                roi[None],
                output_size,
                spatial_scale=SCALES[source],
                sampling_ratio=0,
                aligned=True,
            )
            for source, roi in zip(sources.tolist(), rois, strict=True)
        ]
    )


@pytest.mark.parametrize("output_size", [1, 2, 7, 14])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_are_those_of_torchvision(output_size, memory_format, maps, generator):
    rois = draw_rois(generator, 40)
    sources = torch.randint(0, 2, (len(rois),), generator=generator)
    pooled = roi_align_rows(
        [level.contiguous(memory_format=memory_format) for level in maps],
        sources,
        rois,
        scales=SCALES,
        output_size=output_size,
    )
    expected = pool(maps, sources, rois, output_size)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)  # sums of float32
    assert pooled.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_maps_give_bfloat16(maps, generator):
    maps = [level.bfloat16() for level in maps]
    rois = draw_rois(generator, 40)
    sources = torch.randint(0, 2, (len(rois),), generator=generator)
    pooled = roi_align_rows(maps, sources, rois, scales=SCALES, output_size=7)
    assert pooled.dtype == torch.bfloat16
    expected = pool(maps, sources, rois, 7)
    # The weights of up to some ten cells and their sum are rounded to 8 bits.
    torch.testing.assert_close(pooled.float(), expected, rtol=0, atol=0.03)


def test_a_box_gives_the_same_alone_and_among_others(maps, generator):
    rois = draw_rois(generator, 20)
    sources = torch.randint(0, 2, (len(rois),), generator=generator)
    together = roi_align_rows(maps, sources, rois, scales=SCALES, output_size=3)
    for i in range(len(rois)):
        part = slice(i, i + 1)
        alone = roi_align_rows(maps, sources[part], rois[part], scales=SCALES, output_size=3)
        torch.testing.assert_close(together[part], alone, rtol=0, atol=1e-6)  # weights are summed


def test_no_boxes_give_no_features(maps):
    pooled = roi_align_rows(
        maps, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 5), scales=SCALES, output_size=7
    )
    assert pooled.shape == (0, 5, 7, 7)
