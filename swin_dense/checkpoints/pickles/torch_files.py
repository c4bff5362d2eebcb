"""Torch's files: the zip archive, and the stream of pickles that came before it.

Both are a pickle that refers to storages, and the storages' values. The values stay in the file,
memory-mapped, until they are used.
"""

import io
import mmap
import struct
import typing
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from swin_dense.checkpoints.pickles.pickled_names import storage_key
from swin_dense.checkpoints.pickles.pickled_values import (
    PickleFault,
    StorageRecord,
    TensorRecord,
    brief,
    parts_of,
)
from swin_dense.checkpoints.pickles.unpickling import unpickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# Errors of `zipfile` for damaged archives, depending on where the damage is.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class StoredValues:
    """The values of a torch file's storages, memory-mapped, each checked against the file.

    Attributes:
        places: first byte and number of bytes of each storage, by its key.
    """

    places: dict[str, tuple[int, int]]

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            # a private mapping: torch wants writable memory, and the file must not change
            self._mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.places = {}
        self._storages: dict[StorageRecord, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return len(self._mapping)

    def read(self, record: TensorRecord) -> Tensor:
        """The tensor that the record describes; it shares the file's memory."""
        values = self._storages.get(record.storage)
        if values is None:
            values = self._storages[record.storage] = self._open(record.storage)
        try:
            return values.as_strided(record.size, record.stride, record.offset)
        except RuntimeError as error:  # sizes beside a 0 whose product overflows
            raise PickleFault(f"damaged pickle (a tensor of size {record.size})") from error

    def _open(self, storage: StorageRecord) -> Tensor:
        if storage.root not in self.places:
            raise PickleFault(f"the values of storage {storage.root!r} are missing")
        start, num_bytes = self.places[storage.root]
        itemsize = storage.dtype.itemsize
        start += storage.root_offset * itemsize
        if (storage.root_offset + storage.num_values) * itemsize > num_bytes:
            raise PickleFault(
                f"storage {storage.root!r} should hold {storage.num_values} values of "
                f"{storage.dtype}, it has {num_bytes} bytes"
            )
        if start + storage.num_values * itemsize > self.num_bytes:
            raise PickleFault("truncated: the file ends within its values")
        if storage.num_values == 0:
            return torch.empty(0, dtype=storage.dtype)
        if start % itemsize:  # the older stream does not align its values
            block = bytearray(self._mapping[start : start + storage.num_values * itemsize])
            return torch.frombuffer(block, dtype=storage.dtype)
        return torch.frombuffer(
            self._mapping, dtype=storage.dtype, count=storage.num_values, offset=start
        )


def open_torch_zip(path: Path) -> tuple[object, StoredValues]:
    """The content of a file that torch wrote since 1.6, and the values that it refers to.

    Raises:
        PickleFault: it is damaged, another kind of zip archive, or names code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise PickleFault("damaged torch file (two members of one name)")
            pickles = [name for name in members if name.endswith("data.pkl")]
            if len(pickles) != 1:
                raise PickleFault(
                    "a zip archive that is not a torch checkpoint "
                    f"({len(pickles)} members named data.pkl); unpack it first if it holds one"
                )
            root = pickles[0].removesuffix("data.pkl")
            if f"{root}constants.pkl" in members:
                raise PickleFault("a TorchScript program, not a checkpoint; save its state_dict()")
            _check_members(path, members)
            if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
                raise PickleFault("written on a big-endian machine, which is not read here")
            content = unpickle(io.BytesIO(archive.read(pickles[0])))
    except PickleFault:
        raise
    except _ZIP_ERRORS as error:
        raise PickleFault(
            f"truncated or damaged torch file ({error}); download it again"
        ) from error
    values = StoredValues(path)
    for name, member in members.items():
        if name.startswith(f"{root}data/"):
            key = name.removeprefix(f"{root}data/")
            values.places[key] = (_first_byte(path, member), member.file_size)
    return content, values


def _check_members(path: Path, members: Mapping[str, zipfile.ZipInfo]) -> None:
    """Refuse what torch never writes and what would blow up: compressed or overlapping members."""
    for name, member in members.items():
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise PickleFault(
                f"member {name!r} is compressed or encrypted, which torch never does (it would "
                f"grow to {member.file_size} bytes); unpack the archive first if it is a plain zip"
            )
    total = sum(member.file_size for member in members.values())
    if total > path.stat().st_size:
        raise PickleFault(
            f"its members claim {total} bytes, the file has {path.stat().st_size}: truncated or "
            "made to overlap"
        )


def _first_byte(path: Path, member: zipfile.ZipInfo) -> int:
    """Position of a stored member's bytes: behind its local header and the padding in it."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise PickleFault(f"damaged torch file (no member where {member.filename!r} should start)")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return member.header_offset + 30 + int(name_length) + int(extra_length)


def open_pickle(path: Path) -> tuple[object, StoredValues | None]:
    """The content of a plain pickle, or of the stream of pickles that torch wrote before 1.6.

    Returns:
        The content, and the values that it refers to; None for a plain pickle, which has them
        itself.

    Raises:
        PickleFault: it is damaged, or names code.
    """
    with (
        path.open("rb") as file,
        # read(n) of a mapping makes room for what the file holds, that of a file for n bytes
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
    ):
        stream = typing.cast(BinaryIO, mapping)
        content = unpickle(stream)
        if not isinstance(content, int) or content != _LEGACY_MAGIC:
            return content, None
        protocol, system = unpickle(stream), unpickle(stream)
        if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
            raise PickleFault(f"a torch file of unknown version ({brief(protocol)})")
        if system.get("little_endian") is not True:
            raise PickleFault("written on a big-endian machine, which is not read here")
        content, keys = unpickle(stream), unpickle(stream)
        if not isinstance(keys, list):
            raise PickleFault("damaged torch file (no list of storages)")
        values = StoredValues(path)
        _place_legacy(stream, keys, _itemsizes(content), values)
    return content, values


def _place_legacy(
    stream: BinaryIO, keys: list[object], itemsizes: dict[str, int], values: StoredValues
) -> None:
    """Find each storage: a count of 8 bytes, then the values, in the order of the keys."""
    num_bytes = values.num_bytes
    for key in map(storage_key, keys):
        header = stream.read(8)
        if len(header) < 8:
            raise PickleFault("truncated: the file ends before its values do")
        if key not in itemsizes:
            raise PickleFault(
                f"storage {key!r} is used by no tensor, so that its size is not known"
            )
        count = struct.unpack("<q", header)[0]
        size = count * itemsizes[key]
        start = stream.tell()
        if count < 0 or start + size > num_bytes:
            raise PickleFault("truncated: the file ends within its values")
        values.places[key] = (start, size)
        stream.seek(start + size)


def _itemsizes(content: object) -> dict[str, int]:
    """Bytes per value of every storage that the content refers to."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, TensorRecord):
            sizes[value.storage.root] = value.storage.dtype.itemsize
        elif id(value) not in seen:
            seen.add(id(value))
            waiting.extend(parts_of(value))
    return sizes
