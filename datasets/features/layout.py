"""The folder of a store: its files, and `store.json`, which says how the features were made.

store.json          the model, levels, types and preprocessing
manifest.jsonl      the images of each shard, written before the first of them is read
shards/NAME.tar     one safetensors file an image
shards/NAME.json    where each of them begins, and the images that could not be read
index.parquet       the same for all shards, once the store is complete
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from swin_dense.datasets.files import read_text

STORE = "store.json"
MANIFEST = "manifest.jsonl"
SHARDS = "shards"
INDEX = "index.parquet"
TAR, SHARD_INDEX = ".tar", ".json"

_FORMAT, _VERSION = "swin_dense features", 1


def shard_name(number: int) -> str:
    """Name of a shard without its ending."""
    return f"shard-{number:06d}"


@dataclass(frozen=True, kw_only=True)
class StoreDescription:
    """Making of a store's features; two runs that differ here do not fit together.

    Attributes:
        weights: SHA-256 of the file of weights.
        model: kind of model and its backbone, in words.
        pyramid: "backbone" or "fpn".
        levels: of the pyramid, from 0, fine to coarse.
        strides: of each level, px per cell.
        channels: of each level.
        dtype: "float16", "bfloat16" or "float32".
        pool: "mean" where there is one vector a level, too; else "none".
        precision: of the computation, "fp32", "bf16" or "fp16".
        scale: LONG SHORT side of the keep-ratio resize, px; None: images as they are.
        size_divisor: each image is padded with zeros to a multiple of it, px.
        mean: subtracted from the pixels, per channel.
        std: divided by, per channel.
    """

    weights: str
    model: str
    pyramid: str
    levels: tuple[int, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    dtype: str
    pool: str
    precision: str
    scale: tuple[int, int] | None
    size_divisor: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def differences(self, other: "StoreDescription") -> list[str]:
        """The fields in which another description differs, with both values."""
        fields_of = [name for name in asdict(self) if getattr(self, name) != getattr(other, name)]
        # What follows from the others says nothing beside them.
        plain = [name for name in fields_of if name not in ("strides", "channels")]
        return [
            f"{name} {_in_words(getattr(other, name))} instead of {_in_words(getattr(self, name))}"
            for name in plain or fields_of
        ]

    def map_sizes(self, size: tuple[int, int]) -> list[tuple[int, int, int]]:
        """`(C, ceil(height / stride), ceil(width / stride))` of each level.

        Args:
            size: (height, width) of the image as the network sees it, without padding, px.
        """
        height, width = size
        return [
            (channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class StoredRuns:
    """The content of `store.json`.

    Attributes:
        description: how the features were made.
        images_per_shard: of every shard but the last ones.
        inputs: the words by which the images were found.
        runs: circumstances that may change the last bits of a value, one entry for each that
            occurred: versions, device, threads, images in a batch.
    """

    description: StoreDescription
    images_per_shard: int
    inputs: tuple[str, ...]
    runs: tuple[Mapping[str, Any], ...]


def has_store(folder: Path) -> bool:
    """Tell whether a folder has a store, perhaps one that is still being written."""
    return (folder / STORE).is_file()


def write_store(folder: Path, stored: StoredRuns) -> None:
    """Write `store.json` beside its name and rename it."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        **asdict(stored.description),
        "images_per_shard": stored.images_per_shard,
        "inputs": stored.inputs,
        "runs": [dict(run) for run in stored.runs],
    }
    write_synced(folder / STORE, json.dumps(content, indent=1) + "\n")


def read_store(folder: Path) -> StoredRuns:
    """Read `store.json`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is none of ours, or of a later version.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no feature store {folder}: no such folder")
    path = folder / STORE
    try:
        content = json.loads(read_text(path, "description of a feature store"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}")
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r} of the format, not {_VERSION}")
        values = {field.name: _as_tuple(content[field.name]) for field in fields(StoreDescription)}
        return StoredRuns(
            description=StoreDescription(**values),
            images_per_shard=int(content["images_per_shard"]),
            inputs=tuple(content["inputs"]),
            runs=tuple(content["runs"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} must describe a feature store, got {error}") from error


def write_synced(path: Path, text: str) -> None:
    """Write a text file beside its final name, have the disk keep it, and rename it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_words(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return str(value)[:64] if value is not None else "none"
