"""The manifest of a store: which images each shard is made of, written before the first is read.

One JSON line a shard. Images keep their shard for good; those that come later get new shards.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from swin_dense.datasets.features.layout import MANIFEST, shard_name, write_synced
from swin_dense.datasets.files import read_text


class ShardImages(NamedTuple):
    """The images of a shard, in the order of its members; `file_bytes` is -1 without a file."""

    name: str
    ids: tuple[str, ...]
    file_bytes: tuple[int, ...]


def plan_shards(
    images: Sequence[tuple[str, int]], *, images_per_shard: int, first: int = 0
) -> list[ShardImages]:
    """Divide images into shards.

    Args:
        images: id and size of the file in bytes, of each.
        images_per_shard: at least 1; the last shard may have fewer.
        first: number of the first shard.
    """
    parts = [
        images[start : start + images_per_shard]
        for start in range(0, len(images), images_per_shard)
    ]
    return [
        ShardImages(
            shard_name(first + number),
            tuple(image_id for image_id, _ in part),
            tuple(num_bytes for _, num_bytes in part),
        )
        for number, part in enumerate(parts)
    ]


def write_manifest(folder: Path, shards: Iterable[ShardImages]) -> None:
    """Write the manifest beside its name and rename it."""
    lines = [
        json.dumps({"shard": shard.name, "id": shard.ids, "file_bytes": shard.file_bytes})
        for shard in shards
    ]
    write_synced(folder / MANIFEST, "".join(f"{line}\n" for line in lines))


def read_manifest(folder: Path) -> list[ShardImages]:
    """Read the manifest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    path = folder / MANIFEST
    return list(_parse(path, read_text(path, "manifest of a feature store")))


def _parse(path: Path, text: str) -> Iterator[ShardImages]:
    for number, line in enumerate(text.splitlines()):
        try:
            content = json.loads(line)
            shard = ShardImages(
                content["shard"], tuple(content["id"]), tuple(content["file_bytes"])
            )
            if shard.name != shard_name(number) or len(shard.ids) != len(shard.file_bytes):
                raise ValueError(f"{shard.name} with {len(shard.ids)} ids")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number + 1} of {path} must be a shard: {error}") from error
        yield shard
