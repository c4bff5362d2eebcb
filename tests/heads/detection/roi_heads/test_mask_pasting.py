"""Pasting of masks against a loop over pixels."""

import math

import pytest
import torch
from torch import Tensor

from swin_dense.datasets.masks import compress_bitmaps, compress_masks
from swin_dense.heads.detection.roi_heads.mask_pasting import paste_masks, paste_run_lengths


def slow_paste(mask: Tensor, box: list[float], size: tuple[int, int]) -> Tensor:
    """Bilinear value of the mask at each pixel's centre, 0 beyond its border."""
    side = len(mask)
    pasted = torch.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * side - 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * side - 0.5
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    if 0 <= i < side and 0 <= j < side:
                        pasted[row, column] += mask[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return pasted


@pytest.mark.parametrize(
    "box",
    [
        [2.0, 3.0, 14.0, 11.0],
        [-5.3, -2.1, 9.7, 30.2],
        [4.2, 4.2, 5.1, 4.9],
        [50.0, 50.0, 60.0, 60.0],
    ],
)
def test_pasting_equals_a_loop_over_pixels(box: list[float], generator: torch.Generator) -> None:
    mask = torch.rand(5, 5, generator=generator)
    expected = slow_paste(mask, box, (15, 20))
    pasted = paste_masks(mask[None], torch.tensor([box]), (15, 20), threshold=0.5)[0]
    clear = (expected - 0.5).abs() > 1e-4
    assert pasted.dtype == torch.bool
    assert (pasted == (expected >= 0.5))[clear].all()


def test_pasting_in_chunks_equals_pasting_one_by_one(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = torch.rand(5, 7, 7, generator=generator)
    boxes = torch.tensor(
        [[1.0, 2, 11, 14], [0, 0, 20, 15], [5, 5, 5, 9], [3, 3, 4, 4], [9, 1, 19, 6]]
    )
    expected = paste_masks(masks, boxes, (15, 20))
    monkeypatch.setattr(
        "swin_dense.heads.detection.roi_heads.mask_pasting.PASTE_BYTES", 2 * 16 * 15 * 20
    )
    monkeypatch.setattr("swin_dense.heads.detection.roi_heads.mask_pasting.ONE_BY_ONE_DEVICES", ())
    assert torch.equal(paste_masks(masks, boxes, (15, 20)), expected)


def test_a_box_without_area_gives_an_empty_mask_and_no_box_none() -> None:
    pasted = paste_masks(torch.ones(1, 5, 5), torch.tensor([[5.5, 5, 5.5, 9]]), (15, 20))
    assert not pasted.any()
    assert paste_masks(torch.zeros(0, 5, 5), torch.zeros(0, 4), (15, 20)).shape == (0, 15, 20)


@pytest.mark.parametrize("columns_at_once", [None, 3])
def test_run_lengths_are_of_the_pasted_pixels(
    columns_at_once: int | None, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    height, width = 37, 53
    corners = torch.rand(40, 2, generator=generator) * torch.tensor([60.0, 45]) - 5
    sides = torch.rand(40, 2, generator=generator) * torch.tensor([60.0, 50])
    boxes = torch.cat([corners, corners + sides], dim=1)
    masks = torch.rand(40, 7, 7, generator=generator)
    # All of the image; from its top to its foot; no area; outside.
    special = [[-20.0, -20, 80, 70], [5, -20, 50, 80], [9, 2, 9, 30], [99, 99, 110, 110]]
    boxes[:4], masks[:4] = torch.tensor(special), 1.0
    pasted = paste_masks(masks, boxes, (height, width))
    assert pasted[0].all()
    if columns_at_once is not None:
        monkeypatch.setattr(
            "swin_dense.heads.detection.roi_heads.mask_pasting.PASTE_BYTES",
            columns_at_once * 16 * height,
        )
        assert torch.equal(paste_masks(masks, boxes, (height, width)), pasted)
    runs = paste_run_lengths(masks, boxes, (height, width))
    assert all(sum(mask["counts"]) == height * width for mask in runs)
    assert compress_masks(runs) == compress_bitmaps(pasted.numpy())
    assert paste_run_lengths(masks[:0], boxes[:0], (height, width)) == []


@pytest.mark.parametrize("threshold", [0.5, 0.25, 0.0])
@pytest.mark.parametrize("look", ["noise", "smooth", "two values", "near 0.5", "steps"])
def test_calculated_run_lengths_are_of_the_sampled_pixels_to_the_bit(
    look: str, threshold: float, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    height, width, side = 61, 83, 5
    corners = torch.rand(16, 2, generator=generator) * torch.tensor([90.0, 65]) - 8
    boxes = torch.cat([corners, corners + torch.rand(16, 2, generator=generator) * 80], dim=1)
    # Far beyond the image; the image; no area; outside.
    special = [[-200.0, -150, 300, 250], [0, 0, width, height], [9, 2, 9, 50], [99, 9, 110, 60]]
    boxes[:4] = torch.tensor(special)
    noise = torch.rand(16, side, side, generator=generator)
    masks = {
        "noise": noise,
        "smooth": torch.rand(16, 1, 1, generator=generator) * torch.linspace(0, 2, side),
        "two values": (noise > 0.5).float(),
        "near 0.5": 0.5 + (noise - 0.5) * 1e-6,
        "steps": (noise * 4).round() / 4,
    }[look].expand(16, side, side)
    module = "swin_dense.heads.detection.roi_heads.mask_pasting"
    size = (height, width)
    monkeypatch.setattr(f"{module}.CROSSING_PIXELS", 2**30)
    sampled = paste_run_lengths(masks, boxes, size, threshold=threshold)
    monkeypatch.setattr(f"{module}.CROSSING_PIXELS", 0)
    assert paste_run_lengths(masks, boxes, size, threshold=threshold) == sampled
    if look in ("noise", "smooth"):  # so it was not sampled as a whole
        sample_masks = f"{module}._sample_masks"
        tall = boxes[0:2]
        monkeypatch.setattr(sample_masks, lambda *arguments: pytest.fail("all pixels sampled"))
        paste_run_lengths(masks[0:2], tall, size, threshold=0.5)
