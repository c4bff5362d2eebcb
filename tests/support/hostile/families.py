"""All families of hostile inputs."""

import random
from collections.abc import Callable
from pathlib import Path

from hostile.cases import Case
from hostile.data import class_lists, coco_files, images, label_maps
from hostile.flags import flags, training_flags
from hostile.query_models import query_models
from hostile.weights import (
    pickles,
    safetensors_headers,
    stored_configs,
    weights_keys,
    weights_values,
)

Family = Callable[[random.Random, Path, Path], Case]
FAMILIES: tuple[Family, ...] = (
    *(weights_values, weights_keys, safetensors_headers, stored_configs, pickles, query_models),
    *(coco_files, class_lists, label_maps, images, flags, training_flags),
)
