"""`index.parquet`: one row an image, for any program that reads tables.

| column | |
|---|---|
| `id` | path of the image, relative to the folder that was given |
| `shard` | file, relative to the store |
| `offset`, `num_bytes` | of the image's safetensors file in the shard |
| `shapes` | `[[C, h, w], ...]`, one a level |
| `dtype` | of the features |
| `size` | `[height, width]` as the network saw the image, px |
| `original_size` | `[height, width]` in its file, px |
| `error` | why there are no features; else null |
"""

import importlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swin_dense.datasets.features.layout import INDEX, SHARDS, TAR, StoreDescription, sync_folder
from swin_dense.datasets.features.shards import ShardIndex

NEEDED = "index.parquet needs pyarrow, which is not installed; pip install 'swin-dense[features]'"

_NUM_SHARDS = b"num_shards"
_ROWS = 100_000  # of a row group; as many are in memory at a time


class IndexColumns(NamedTuple):
    """The index as arrays, one entry an image that has features, in storage order.

    Attributes:
        ids: a list, or an Arrow column, which becomes one by `to_pylist()`.
        shards: number of each image's shard in `shard_names`.
        shard_names: without folder and ending.
        offsets: of each safetensors file in its shard, bytes.
        num_bytes: of each safetensors file.
        errors: message of each image that could not be read, by id.
    """

    ids: Any
    shards: np.ndarray
    shard_names: list[str]
    offsets: np.ndarray
    num_bytes: np.ndarray
    errors: dict[str, str]


def has_pyarrow() -> bool:
    """Tell whether Parquet can be read and written."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        return False
    return True


def write_index(
    folder: Path, description: StoreDescription, indexes: Iterable[ShardIndex], *, num_shards: int
) -> None:
    """Write the index of a complete store beside its name and rename it.

    Args:
        folder: of the store.
        description: of the store.
        indexes: of its shards, in their order.
        num_shards: how many they are.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema().with_metadata({_NUM_SHARDS: str(num_shards).encode()})
    partial = folder / f".{INDEX}.partial"
    try:
        with pq.ParquetWriter(partial, schema) as writer:
            for rows in _in_groups(indexes, description):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        partial.replace(folder / INDEX)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(folder)


def read_index(folder: Path, *, num_shards: int) -> IndexColumns | None:
    """Read the index.

    Args:
        folder: of the store.
        num_shards: that the store has now.

    Returns:
        The columns; None where there is no index, it cannot be read here, or it is of another
        number of shards, because the store is still being written.
    """
    if not (folder / INDEX).is_file() or not has_pyarrow():
        return None
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / INDEX) as file:
            stored = file.schema_arrow
            if (stored.metadata or {}).get(_NUM_SHARDS) != str(num_shards).encode():
                return None
            if not stored.equals(_schema()):
                return None
            table = file.read(["id", "shard", "offset", "num_bytes", "error"])
    except (pa.ArrowException, OSError):  # damaged: the indexes of the shards say the same
        return None
    is_bad = pc.is_valid(table["error"])
    bad = table.filter(is_bad)
    good = table.filter(pc.invert(is_bad)) if len(bad) else table
    if any(good[name].null_count for name in ("id", "shard", "offset", "num_bytes")):
        return None
    shards = good["shard"].unify_dictionaries().combine_chunks()
    ends = slice(len(SHARDS) + 1, -len(TAR))  # of `shards/NAME.tar`
    names = [name[ends] for name in shards.dictionary.to_pylist()]
    return IndexColumns(
        ids=good["id"],
        shards=_as_numpy([shards.indices], np.int32),
        shard_names=names,
        offsets=_as_numpy(good["offset"].chunks, np.int64),
        num_bytes=_as_numpy(good["num_bytes"].chunks, np.int64),
        errors=dict(zip(bad["id"].to_pylist(), bad["error"].to_pylist(), strict=True)),
    )


def _as_numpy(chunks: Iterable[Any], dtype: type[np.integer[Any]]) -> np.ndarray:
    """Whole numbers of a column; Arrow's own `to_numpy` imports pandas, which takes a second."""
    parts = [np.from_dlpack(chunk) for chunk in chunks if len(chunk)]
    return np.concatenate([np.empty(0, dtype), *parts])


def join_indexes(indexes: Iterable[ShardIndex]) -> IndexColumns:
    """The same columns from the indexes of the shards."""
    ids: list[str] = []
    errors: dict[str, str] = {}
    names, counts = [], []
    offsets, num_bytes = array("q"), array("q")
    for index in indexes:
        names.append(index.name)
        counts.append(len(index.ids))
        ids.extend(index.ids)
        offsets.extend(index.offsets)
        num_bytes.extend(index.num_bytes)
        errors.update(index.errors)
    return IndexColumns(
        ids=ids,
        shards=np.repeat(np.arange(len(names), dtype=np.int32), counts),
        shard_names=names,
        offsets=np.array(offsets, dtype=np.int64),
        num_bytes=np.array(num_bytes, dtype=np.int64),
        errors=errors,
    )


def _schema() -> Any:
    """Names and types of the columns."""
    import pyarrow as pa

    pair = pa.list_(pa.int32(), 2)
    return pa.schema(
        [
            ("id", pa.string()),
            ("shard", pa.dictionary(pa.int32(), pa.string())),
            ("offset", pa.int64()),
            ("num_bytes", pa.int64()),
            ("shapes", pa.list_(pa.list_(pa.int32()))),
            ("dtype", pa.dictionary(pa.int32(), pa.string())),
            ("size", pair),
            ("original_size", pair),
            ("error", pa.string()),
        ]
    )


def _in_groups(
    indexes: Iterable[ShardIndex], description: StoreDescription
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for index in indexes:
        rows += _rows(index, description)
        if len(rows) >= _ROWS:
            yield rows
            rows = []
    yield rows


def _rows(index: ShardIndex, description: StoreDescription) -> Iterator[dict[str, Any]]:
    shard = f"{SHARDS}/{index.name}{TAR}"
    for image_id, offset, num_bytes, size, original_size in zip(
        index.ids, index.offsets, index.num_bytes, index.sizes, index.original_sizes, strict=True
    ):
        yield {
            "id": image_id,
            "shard": shard,
            "offset": offset,
            "num_bytes": num_bytes,
            "shapes": description.map_sizes(size),
            "dtype": description.dtype,
            "size": size,
            "original_size": original_size,
        }
    for image_id, message in index.errors.items():
        yield {"id": image_id, "shard": shard, "error": message}
