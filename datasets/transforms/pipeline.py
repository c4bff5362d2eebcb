"""The pipeline that a data set is given, and the seed of all that it draws."""

import random
from collections.abc import Sequence
from typing import TypeAlias

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import Targets

Pipeline: TypeAlias = A.Compose

# Of the transforms that move pixels: they move the annotations along.
GEOMETRIC_TARGETS = (Targets.IMAGE, Targets.MASK, Targets.KEYPOINTS)


def compose(transforms: Sequence[A.BasicTransform | A.BaseCompose]) -> Pipeline:
    """Make a pipeline that moves boxes and polygons as key points and never drops one."""
    points = A.KeypointParams(format="xy", remove_invisible=False)
    return A.Compose(list(transforms), keypoint_params=points)


def seed_transforms(transforms: Pipeline, *key: int) -> None:
    """Make all that a pipeline draws next depend on `key` alone, numbers from 0 up.

    With a key of (seed, epoch, index) a sample is the same in whichever worker process, and however
    many there are, and after a run was resumed. All transforms draw from one source: with
    albumentations' `set_random_seed` each gets a separate source of the same seed, and a flipped
    image would always take the same branch.
    """
    numpy_random = np.random.default_rng(key)
    transforms.set_random_state(numpy_random, random.Random(int(numpy_random.integers(2**63))))
