"""Plan of a store: shards that are missing, the room they need, and what does not fit."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swin_dense.datasets.features.inputs import ImageFile
from swin_dense.datasets.features.layout import (
    SHARDS,
    StoreDescription,
    StoredRuns,
    has_store,
    read_store,
    write_store,
)
from swin_dense.datasets.features.manifest import (
    ShardImages,
    plan_shards,
    read_manifest,
    write_manifest,
)
from swin_dense.datasets.features.members import ITEM_BYTES
from swin_dense.datasets.features.shards import (
    has_files,
    list_tar_files,
    read_whole_shards,
    remove_partial,
)
from swin_dense.datasets.images import read_stated_size
from swin_dense.datasets.transforms.resizing import keep_ratio_size
from swin_dense.tools.features.pipeline import ShardTask

_SAMPLED = 200  # images whose headers are read to know how large the features will be
_MEMBER_BYTES = 1500  # of an image besides its values: headers, and blocks half full
# A killed run loses the shards that it was at, and many small files are slow: between these bounds
# a shard has a thousandth of the store.
_SHARD_BYTES = (32 << 20, 1 << 30)
_SHARDS = 1000
_MOST_IN_SHARD = 1000
_NAMED = 3


@dataclass(frozen=True)
class StorePlan:
    """Plan of what is to do.

    Attributes:
        folder: of the store.
        stored: the content of its `store.json`.
        shards: of its manifest.
        tasks: those of them that are missing.
        damaged: names of the tasks of which something is there.
        image_bytes: of the features of one image, about.
    """

    folder: Path
    stored: StoredRuns
    shards: tuple[ShardImages, ...]
    tasks: tuple[ShardTask, ...]
    damaged: tuple[str, ...]
    image_bytes: float

    @property
    def num_images(self) -> int:
        """Images of all shards."""
        return sum(len(shard.ids) for shard in self.shards)

    @property
    def num_missing(self) -> int:
        """Images of the shards that are to do."""
        return sum(len(task.files) for task in self.tasks)


def make_plan(
    folder: Path,
    images: Mapping[str, ImageFile],
    description: StoreDescription,
    *,
    inputs: Sequence[str],
    run: Mapping[str, Any],
    images_per_shard: int | None = None,
) -> StorePlan:
    """Compare a folder with what it shall hold, and write what is new into its manifest.

    Args:
        folder: of the store; the caller holds its lock.
        images: by id.
        description: of the features.
        inputs: the words that the images were found by.
        run: circumstances that are recorded.
        images_per_shard: None: so that a shard is 32 MiB to 1 GiB large.

    Raises:
        ValueError: the folder has features that were made otherwise, or images that are not done
            and not among these.
    """
    image_bytes = estimate_bytes(list(images.values()), description)
    if has_store(folder):
        stored = read_store(folder)
        shards = read_manifest(folder)
        _refuse_differences(folder, stored, description, images_per_shard)
    else:
        if list_tar_files(folder / SHARDS):
            raise ValueError(f"{folder} has shards without a store.json; choose another --out")
        count = images_per_shard or _choose_count(image_bytes, len(images))
        stored = StoredRuns(
            description=description, images_per_shard=count, inputs=tuple(inputs), runs=()
        )
        shards = []
    known = {image_id for shard in shards for image_id in shard.ids}
    new = [(image.id, _file_bytes(image)) for image in images.values() if image.id not in known]
    if new:
        shards += plan_shards(new, images_per_shard=stored.images_per_shard, first=len(shards))
        write_manifest(folder, shards)
    (folder / SHARDS).mkdir(exist_ok=True)
    remove_partial(folder / SHARDS)
    missing = _find_missing(folder / SHARDS, shards)
    if not set(stored.inputs) <= set(inputs):
        _refuse_unknown(folder, missing, images)
    written = StoredRuns(
        description=stored.description,
        images_per_shard=stored.images_per_shard,
        inputs=tuple(dict.fromkeys([*stored.inputs, *inputs])),
        runs=(*stored.runs, *([run] if missing and run not in stored.runs else [])),
    )
    if written != stored or not has_store(folder):
        write_store(folder, written)
    return StorePlan(
        folder=folder,
        stored=written,
        shards=tuple(shards),
        tasks=tuple(
            ShardTask(shard.name, tuple(images.get(name) or _gone(name) for name in shard.ids))
            for shard in missing
        ),
        damaged=tuple(shard.name for shard in missing if has_files(folder / SHARDS, shard.name)),
        image_bytes=image_bytes,
    )


def check_room(plan: StorePlan) -> None:
    """See that the disk has room for what is to come.

    Raises:
        ValueError: it has not.
    """
    needed = plan.num_missing * plan.image_bytes
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        fewer = _fewer_levels(plan)
        raise ValueError(
            f"{plan.folder} must have room for about {in_bytes(needed)} of features, got "
            f"{in_bytes(free)} free; {fewer}{', or ' if fewer else ''}--force starts all the same"
        )


def describe_plan(plan: StorePlan) -> str:
    """Forecast in a line: images, bytes, and what fewer levels would be."""
    if not plan.tasks:
        return f"all {plan.num_images:,} images are done"
    dtype = plan.stored.description.dtype
    count = f"{plan.num_missing:,} images"
    if plan.num_missing < plan.num_images:
        count = f"{plan.num_missing:,} of {plan.num_images:,} images to do"
    fewer = _fewer_levels(plan)
    size = in_bytes(plan.num_missing * plan.image_bytes)
    return f"{count}: about {size} in {dtype}" + (f"; {fewer}" if fewer else "")


def estimate_bytes(images: Sequence[ImageFile], description: StoreDescription) -> float:
    """Bytes of the features of one image, from the sizes that some of the files state."""
    step = max(1, len(images) // _SAMPLED)
    sizes = [image.stated_size or read_stated_size(image.path) for image in images[::step]]
    known = [size for size in sizes if size is not None]
    if not known:
        return float(_MEMBER_BYTES)
    return sum(_bytes_of(size, description) for size in known) / len(known)


def in_bytes(count: float) -> str:
    """A number of bytes with three digits: `21.9 TB`."""
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min(len(units) - 1, max(0, int(math.log10(max(count, 1)) / 3 + 1e-9)))
    value = count / 1000**power
    digits = 0 if power == 0 or value >= 99.95 else 1
    return f"{value:,.{digits}f} {units[power]}"


def _bytes_of(size: tuple[int, int], description: StoreDescription) -> float:
    if description.scale is not None:
        try:
            size = keep_ratio_size(size, description.scale)
        except ValueError:  # too large: it will not be read
            return _MEMBER_BYTES
    shapes = description.map_sizes(size)
    values = sum(math.prod(shape) for shape in shapes)
    if description.pool != "none":
        values += sum(description.channels)
    return values * ITEM_BYTES[description.dtype] + _MEMBER_BYTES


def _fewer_levels(plan: StorePlan) -> str:
    """A way to need less room; nothing where there is one level."""
    description = plan.stored.description
    kept = len(description.levels) // 2
    if not kept:
        return ""
    areas = [
        channels / stride**2
        for channels, stride in zip(description.channels, description.strides, strict=True)
    ]
    share = sum(areas[-kept:]) / sum(areas)
    levels = " ".join(map(str, description.levels[-kept:]))
    return f"--levels {levels} gives {in_bytes(plan.num_missing * plan.image_bytes * share)}"


def _choose_count(image_bytes: float, num_images: int) -> int:
    lowest, highest = _SHARD_BYTES
    shard_bytes = min(max(num_images * image_bytes / _SHARDS, lowest), highest)
    return min(max(1, round(shard_bytes / image_bytes)), _MOST_IN_SHARD)


def _refuse_differences(
    folder: Path, stored: StoredRuns, description: StoreDescription, images_per_shard: int | None
) -> None:
    differences = stored.description.differences(description)
    if images_per_shard not in (None, stored.images_per_shard):
        differences.append(
            f"images_per_shard {images_per_shard} instead of {stored.images_per_shard}"
        )
    if differences:
        raise ValueError(
            f"{folder} holds features that were made otherwise: {', '.join(differences)}; choose "
            "another --out"
        )


def _find_missing(folder: Path, shards: Sequence[ShardImages]) -> list[ShardImages]:
    whole = set()
    by_name = {shard.name: shard for shard in shards}
    for index in read_whole_shards(folder, by_name):
        if {*index.ids, *index.errors} == set(by_name[index.name].ids):
            whole.add(index.name)
    return [shard for shard in shards if shard.name not in whole]


def _refuse_unknown(
    folder: Path, missing: Sequence[ShardImages], images: Mapping[str, ImageFile]
) -> None:
    """Images of other inputs must not be taken for images that were removed."""
    unknown = [name for shard in missing for name in shard.ids if name not in images]
    if unknown:
        named = ", ".join(unknown[:_NAMED]) + (", ..." if len(unknown) > _NAMED else "")
        raise ValueError(
            f"{folder} has {len(unknown):,} images to do that are not among these inputs "
            f"({named}); give those that it was begun with, too"
        )


def _gone(image_id: str) -> ImageFile:
    """In place of a file that was there when the store was begun."""
    return ImageFile(image_id, f"{os.devnull}/{image_id}", "/")


def _file_bytes(image: ImageFile) -> int:
    try:
        return os.stat(image.path).st_size
    except OSError:
        return -1
