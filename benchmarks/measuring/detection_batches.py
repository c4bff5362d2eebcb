"""Batches of images and objects for the benchmarks of detectors, of the sizes a recipe draws."""

import statistics
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.datasets.transforms.detection import detection_train
from swin_dense.datasets.transforms.pipeline import seed_transforms
from swin_dense.tools.recipes.data import DetectionData
from swin_dense.tools.recipes.table import find_recipe

Size = tuple[int, int]

RECIPE = "mask_rcnn_swin_t_coco_3x"
# (height, width) of COCO's photographs: how many of 160 (half of them of val2017) are nearest to
# each. Among 58 sizes these six and their like are the commonest.
COCO_SIZES: dict[Size, int] = {
    (427, 640): 56,
    (480, 640): 46,
    (640, 480): 19,
    (640, 427): 16,
    (375, 500): 12,
    (333, 500): 11,
}
_DIVISOR = 32  # batches are padded to a multiple of it, px
_NUM_OBJECTS = 8
_SMALLEST_OBJECT = 40  # px a side


def draw_sizes(batch_size: int, num_batches: int, *, seed: int = 0) -> list[list[Size]]:
    """Draw the image sizes of training batches, as the 3x recipe makes them of COCO's photographs.

    The recipe's own sampler groups the photographs, and its own augmentation resizes them.

    Args:
        batch_size: images of each batch.
        num_batches: how many.
        seed: of all that is drawn.

    Returns:
        (height, width) of each image, by batch.
    """
    data = find_recipe(RECIPE).data
    assert isinstance(data, DetectionData)
    transforms = detection_train(
        long_side=data.train_long,
        short_sides=data.train_shorts,
        crop_short_sides=data.crop_shorts,
        crop_range=data.crop_range,
        flip=data.flip,
    )
    random = np.random.default_rng(seed)
    counts = np.array(list(COCO_SIZES.values()))
    sizes = np.array(list(COCO_SIZES))
    sizes = random.choice(sizes, batch_size * num_batches, p=counts / counts.sum())  # (N, 2)
    sampler = AspectRatioGroupedBatchSampler(sizes[:, 1] / sizes[:, 0], batch_size, seed=seed)
    batches = []
    for batch in sampler:
        batches.append([])
        for index, epoch in batch:
            seed_transforms(transforms, seed, epoch, index)
            image = np.zeros((*sizes[index], 3), np.uint8)
            batches[-1].append(transforms(image=image)["image"].shape[:2])
    return batches


def padding_ratio(sizes: Sequence[Size]) -> float:
    """Pixels of a batch padded to its largest image, over those of the images."""
    height, width = (-(-max(sides) // _DIVISOR) * _DIVISOR for sides in zip(*sizes, strict=True))
    return len(sizes) * height * width / sum(h * w for h, w in sizes)


def typical_batch(batches: Sequence[Sequence[Size]]) -> Sequence[Size]:
    """The batch whose padding is the median of all."""
    median = statistics.median_low(padding_ratio(sizes) for sizes in batches)
    return next(sizes for sizes in batches if padding_ratio(sizes) == median)


def scale_sizes(sizes: Sequence[Size], factor: float) -> list[Size]:
    """Sizes with both sides times a factor, at least one cell of the coarsest map."""
    return [tuple(max(_DIVISOR, round(side * factor)) for side in size) for size in sizes]


def draw_images(sizes: Sequence[Size], *, seed: int = 0) -> list[Tensor]:
    """Noise: `(3, height, width)` uint8 each."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]


def draw_targets(
    sizes: Sequence[Size], *, num_classes: int, device: torch.device, seed: int = 0
) -> list[dict[str, Tensor]]:
    """Elliptical objects of 40 px to half the image: targets as our models take them."""
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for height, width in sizes:
        y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
        image = torch.tensor([width, height])
        low = image.clamp(max=2 * _SMALLEST_OBJECT) / 2
        sides = low + (image / 2 - low) * torch.rand(_NUM_OBJECTS, 2, generator=generator)
        corners = (image - sides) * torch.rand(_NUM_OBJECTS, 2, generator=generator)
        centres, radii = corners + sides / 2, sides / 2
        masks = torch.stack(
            [
                ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
                for (cx, cy), (rx, ry) in zip(centres.tolist(), radii.tolist(), strict=True)
            ]
        )  # (G, H, W)
        target = {
            "boxes": torch.cat([corners, corners + sides], dim=1),
            "labels": torch.randint(num_classes, (_NUM_OBJECTS,), generator=generator),
            "masks": masks,
        }
        targets.append({name: value.to(device) for name, value in target.items()})
    return targets
