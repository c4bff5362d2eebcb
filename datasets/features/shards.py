"""Shards: a tar file of features and the index beside it, both whole or absent.

Each is written beside its name, synced and renamed, the index last. A shard is whole where the
index can be read and the tar file has the size that the index states.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np

from swin_dense.datasets.features import members
from swin_dense.datasets.features.layout import SHARD_INDEX, TAR, sync_folder

_PARTIAL = ".partial"
_SYNCED = 64 << 20  # bytes; after as many the disk is given time, so that it need not all at once

Sizes = tuple[tuple[int, int], ...]


class ShardIndex(NamedTuple):
    """Where the images of a shard begin.

    Attributes:
        name: of the shard.
        tar_bytes: size of its tar file.
        ids: of the images that were read, in the order of the members.
        offsets: of each safetensors file in the tar file, bytes.
        num_bytes: of each safetensors file.
        sizes: (height, width) of each image as the network sees it, px.
        original_sizes: (height, width) of each image in its file, px.
        errors: message of each image that could not be read, by id.
    """

    name: str
    tar_bytes: int
    ids: tuple[str, ...]
    offsets: tuple[int, ...]
    num_bytes: tuple[int, ...]
    sizes: Sizes
    original_sizes: Sizes
    errors: Mapping[str, str]


class ShardWriter:
    """Writes one shard; `finish` makes it appear, leaving the `with` block without it removes it.

    Args:
        folder: of the shards.
        name: of the shard.
        dtype: of the features.
    """

    def __init__(self, folder: Path, name: str, *, dtype: str) -> None:
        self._folder, self._name, self._dtype = folder, name, dtype
        # Not one name for all: a run on another machine that is being killed may write it, too.
        token = secrets.token_hex(4)
        self._tar = folder / f".{name}{TAR}.{token}{_PARTIAL}"
        self._index = folder / f".{name}{SHARD_INDEX}.{token}{_PARTIAL}"
        self._file: BinaryIO = self._tar.open("wb")
        self._position = self._synced = 0
        self._entries: list[tuple[str, int, int, tuple[int, int], tuple[int, int]]] = []
        self._errors: dict[str, str] = {}

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self.abandon()

    def add(
        self,
        image_id: str,
        arrays: Mapping[str, np.ndarray],
        *,
        size: tuple[int, int],
        original_size: tuple[int, int],
    ) -> int:
        """Write the features of one image.

        Args:
            image_id: not in the shard yet.
            arrays: by name, contiguous, in the order of `members.array_names`.
            size: (height, width) as the network sees it, px.
            original_size: (height, width) in its file, px.

        Returns:
            Bytes written.
        """
        metadata = {"id": image_id, "size": size, "original_size": original_size}
        head = members.safetensors_header(arrays, dtype=self._dtype, metadata=metadata)
        num_bytes = len(head) + sum(array.nbytes for array in arrays.values())
        before = members.tar_header(image_id + members.MEMBER_SUFFIX, num_bytes)
        offset = self._position + len(before)
        self._write(before + head)
        for array in arrays.values():
            self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._write(members.padding(num_bytes))
        self._entries.append((image_id, offset, num_bytes, size, original_size))
        if self._position - self._synced >= _SYNCED:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._synced = self._position
        return num_bytes

    def add_error(self, image_id: str, message: str) -> None:
        """Note an image that could not be read."""
        self._errors[image_id] = message

    def finish(self) -> ShardIndex:
        """Have the disk keep the shard, and give it its name."""
        self._write(bytes(members.TRAILER))
        ids, offsets, num_bytes, sizes, original_sizes = (
            zip(*self._entries, strict=True) if self._entries else ((),) * 5
        )
        index = ShardIndex(
            self._name, self._position, ids, offsets, num_bytes, sizes, original_sizes, self._errors
        )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._index.open("w", encoding="utf-8") as file:
            file.write(_to_text(index))
            file.flush()
            os.fsync(file.fileno())
        self._tar.replace(self._folder / f"{self._name}{TAR}")
        self._index.replace(self._folder / f"{self._name}{SHARD_INDEX}")
        sync_folder(self._folder)
        return index

    def abandon(self) -> None:
        """Remove what is not finished; nothing once it is."""
        with contextlib.suppress(OSError):  # the disk that was full still is
            self._file.close()
        self._tar.unlink(missing_ok=True)
        self._index.unlink(missing_ok=True)

    def _write(self, part: bytes | memoryview) -> None:
        try:
            self._file.write(part)
        except OSError as error:  # a full disk, without the file's name
            raise OSError(error.errno, error.strerror, str(self._tar)) from error
        self._position += len(part)


def _to_text(index: ShardIndex) -> str:
    content = {
        "shard": index.name,
        "tar_bytes": index.tar_bytes,
        "id": index.ids,
        "offset": index.offsets,
        "num_bytes": index.num_bytes,
        "size": index.sizes,
        "original_size": index.original_sizes,
        "error": index.errors,
    }
    return json.dumps(content, separators=(",", ":")) + "\n"


def read_shard_index(folder: Path, name: str) -> ShardIndex | None:
    """The index of a shard; None where it is absent or damaged."""
    try:
        content = json.loads((folder / f"{name}{SHARD_INDEX}").read_text(encoding="utf-8"))
        index = ShardIndex(
            content["shard"],
            content["tar_bytes"],
            tuple(content["id"]),
            tuple(content["offset"]),
            tuple(content["num_bytes"]),
            tuple(map(tuple, content["size"])),
            tuple(map(tuple, content["original_size"])),
            dict(content["error"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    columns = (index.offsets, index.num_bytes, index.sizes, index.original_sizes)
    if index.name != name or any(len(column) != len(index.ids) for column in columns):
        return None
    return index


def list_tar_files(folder: Path) -> dict[str, int]:
    """Size in bytes of each shard's tar file, by the shard's name."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {
            entry.name.removesuffix(TAR): entry.stat().st_size
            for entry in entries
            if entry.name.endswith(TAR) and not entry.name.startswith(".")
        }


def read_whole_shards(folder: Path, names: Iterable[str]) -> Iterator[ShardIndex]:
    """Indexes, one by one, of those of the named shards that are whole."""
    tar_files = list_tar_files(folder)
    for name in names:
        index = read_shard_index(folder, name) if name in tar_files else None
        if index is not None and tar_files[name] == index.tar_bytes:
            yield index


def has_files(folder: Path, name: str) -> bool:
    """Tell whether there is anything of a shard; if it is not whole, it is damaged."""
    return any((folder / f"{name}{ending}").exists() for ending in (TAR, SHARD_INDEX))


def remove_partial(folder: Path) -> None:
    """Remove what a killed run has left half written."""
    for path in folder.glob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)
