"""Small feature stores, written without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from swin_dense.datasets.features.layout import (
    SHARDS,
    StoreDescription,
    StoredRuns,
    write_store,
)
from swin_dense.datasets.features.manifest import plan_shards, write_manifest
from swin_dense.datasets.features.members import array_names
from swin_dense.datasets.features.shards import ShardIndex, ShardWriter


def describe(**changes: object) -> StoreDescription:
    """Two levels of 2 and 4 channels in float16."""
    values: dict[str, object] = {
        "weights": "0" * 64,
        "model": "toy",
        "pyramid": "backbone",
        "levels": (0, 1),
        "strides": (4, 8),
        "channels": (2, 4),
        "dtype": "float16",
        "pool": "none",
        "precision": "fp32",
        "scale": None,
        "size_divisor": 32,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return StoreDescription(**(values | changes))  # type: ignore[arg-type]


def draw_arrays(
    description: StoreDescription, size: tuple[int, int], *, seed: int
) -> dict[str, np.ndarray]:
    """Random features of an image of that size; of bfloat16 the bits."""
    source = np.random.default_rng(seed)
    has_vectors = description.pool != "none"
    shapes: list[tuple[int, ...]] = [*description.map_sizes(size)]
    if has_vectors:
        shapes = [(channels,) for channels in description.channels] + shapes
    names = array_names(description.levels, pooled=has_vectors)
    values = [source.standard_normal(shape, np.float32) for shape in shapes]
    if description.dtype == "bfloat16":
        values = [(value.view(np.uint32) >> 16).astype(np.uint16) for value in values]
    else:
        values = [value.astype(description.dtype) for value in values]
    return dict(zip(names, values, strict=True))


def write_feature_store(
    folder: Path,
    images: Mapping[str, tuple[int, int]],
    *,
    images_per_shard: int = 2,
    bad: Sequence[str] = (),
    description: StoreDescription | None = None,
    num_whole: int | None = None,
) -> list[ShardIndex]:
    """A store of images of the given sizes; values are drawn with the image's place as seed.

    Args:
        folder: of the store.
        images: size of each, by id.
        images_per_shard: of each but the last.
        bad: ids without features.
        description: of the features; None: `describe()`.
        num_whole: shards that are written; None: all.
    """
    description = description or describe()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SHARDS).mkdir()
    shards = plan_shards([(name, 1) for name in images], images_per_shard=images_per_shard)
    write_manifest(folder, shards)
    write_store(
        folder,
        StoredRuns(
            description=description, images_per_shard=images_per_shard, inputs=("images",), runs=()
        ),
    )
    places = {name: place for place, name in enumerate(images)}
    indexes = []
    for shard in shards[:num_whole]:
        with ShardWriter(folder / SHARDS, shard.name, dtype=description.dtype) as writer:
            for name in shard.ids:
                if name in bad:
                    writer.add_error(name, f"{name} is broken")
                    continue
                size = images[name]
                arrays = draw_arrays(description, size, seed=places[name])
                writer.add(name, arrays, size=size, original_size=(2 * size[0], 2 * size[1]))
            indexes.append(writer.finish())
    return indexes
