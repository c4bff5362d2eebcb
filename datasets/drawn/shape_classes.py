"""Drawn shapes as classes: one shape of ten kinds an image, in folders of their classes.

Something to classify without a download. Shapes differ in outline and, as things do, tend to differ
in colour and texture; about one in thirty has those of any class.
"""

from pathlib import Path

import cv2
import numpy as np

from swin_dense.datasets.shapes import (
    SHAPE_NAMES,
    draw_ground,
    draw_outline,
    encode_jpeg,
    paint_shape,
    shape_outline,
)

CLASS_NAMES = (*SHAPE_NAMES, "arrow", "crescent", "heart", "stick")

# Split names, and the numbers that keep their random streams apart.
_SPLITS = (("train", 2), ("val", 3))
_OVERSAMPLING = 4  # drawn so many times larger, then averaged
_RADIUS_RANGE = (0.2, 0.42)  # of the image's side
_TYPICAL_LOOK = 0.97  # probability of the class's colour and texture


def write_shape_classes(
    root: str | Path, *, num_train: int, num_val: int, size: int = 64, seed: int = 0
) -> Path:
    """Draw the data set: `{train,val}/CLASS/*.jpg`, as many images of each class, or one more.

    Validation images come from a separate random stream. The same arguments give the same files.

    Args:
        root: a new or empty folder.
        num_train: images to train on.
        num_val: images to evaluate on.
        size: side of the square images, px.
        seed: of everything drawn, from 0 up.

    Returns:
        `root` as a path.

    Raises:
        ValueError: a number is out of range, or `root` is not empty.
    """
    root = Path(root)
    if min(num_train, num_val) < len(CLASS_NAMES) or size < 32 or seed < 0:
        raise ValueError(
            f"the drawn classes must have at least {len(CLASS_NAMES)} images in each split, 32 px "
            f"and a seed from 0 up, got {num_train} and {num_val} images of {size} px and seed "
            f"{seed}"
        )
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(f"the drawn classes need a new or empty folder, got {root}")
    for (split, stream), count in zip(_SPLITS, (num_train, num_val), strict=True):
        for name in CLASS_NAMES:
            (root / split / name).mkdir(parents=True)
        for index in range(count):
            label = index % len(CLASS_NAMES)
            random = np.random.default_rng((seed, stream, index))
            pixels = draw_shape_image(random, label, size=size)
            path = root / split / CLASS_NAMES[label] / f"{index:06d}.jpg"
            path.write_bytes(encode_jpeg(pixels))
    return root


def draw_shape_image(random: np.random.Generator, label: int, *, size: int) -> np.ndarray:
    """Draw one shape on textured ground: `(size, size, 3)` uint8 RGB."""
    side = size * _OVERSAMPLING
    canvas = cv2.resize(draw_ground(random, size), (side, side), interpolation=cv2.INTER_LINEAR)
    radius = side * float(random.uniform(*_RADIUS_RANGE))
    centre = random.uniform(0.9 * radius, side - 0.9 * radius, 2)
    angle = float(random.uniform(0, 2 * np.pi))
    name = CLASS_NAMES[label]
    is_typical = random.random() < _TYPICAL_LOOK
    look = label if is_typical else int(random.integers(len(CLASS_NAMES)))
    mask = draw_outline(_outline(name), centre, radius, angle, side)
    if name in ("ring", "crescent"):
        # The hole of a ring is in its middle, what is missing of a crescent beside it.
        shift = 0.0 if name == "ring" else 0.45 * radius
        hole = centre + shift * np.array([np.cos(angle), np.sin(angle)])
        inner = 0.5 if name == "ring" else 0.8
        mask &= ~draw_outline(_outline("circle"), hole, inner * radius, angle, side)
    paint_shape(canvas, mask, look, centre, radius, angle, random)
    canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    canvas = canvas + random.normal(0, 0.015, canvas.shape)  # the camera's noise
    return (255 * canvas.clip(0, 1) + 0.5).astype(np.uint8)


def _outline(name: str) -> np.ndarray:
    """A shape's outline `(P, 2)` within the unit circle; without what is cut out of it."""
    if name == "arrow":
        half = [[0.95, 0.0], [0.2, 0.75], [0.2, 0.28], [-0.95, 0.28]]
        return np.array([*half, *([x, -y] for x, y in half[:0:-1])])
    if name == "heart":
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        x = 16 * np.sin(turn) ** 3
        waves = zip((13, -5, -2, -1), (1, 2, 3, 4), strict=True)
        y = sum(height * np.cos(times * turn) for height, times in waves)
        return np.stack([x, y + 2.5], axis=1) / 17
    if name == "stick":
        return np.array([[0.97, 0.16], [-0.97, 0.16], [-0.97, -0.16], [0.97, -0.16]])
    return shape_outline("circle" if name == "crescent" else name)
