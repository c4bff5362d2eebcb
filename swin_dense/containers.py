"""Checkpoint files as state dicts: torch (zip and the older stream), pickle and safetensors.

What a file is, its content says, not its name. Nothing in a file is run (`unpickling.py`). Values
stay in the file, memory-mapped, until they are copied into a module. A file that is none of these
raises a `ValueError` that says what it is instead.
"""

import io
import json
import mmap
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from swin_dense.download import resolve
from swin_dense.unpickling import (
    ArrayRecord,
    PickleFault,
    StorageRecord,
    TensorRecord,
    unpickle,
)

_STATE_ENTRIES = ("state_dict", "model", "model_state_dict", "module")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_HEADER = 100 << 20  # bytes; the limit of the safetensors format
_SNIFFED = 512  # bytes at the start of a file that tell what it is


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        source: where it came from, for messages.
        container: how it is written: `torch`, `torch legacy`, `pickle` or `safetensors`.
        state: parameters and buffers under the file's own names, on the CPU, in the file's dtypes.
        metadata: what else the file says in plain data; `meta` of OpenMMLab's files among it.
        entries: names of the file's other entries, such as an optimiser's state.
    """

    source: str
    container: str
    state: dict[str, Tensor]
    metadata: dict[str, object] = field(default_factory=dict)
    entries: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class names that the file stores, in label order; None where it stores none."""
        meta = self.metadata.get("meta")
        places = [self.metadata]
        if isinstance(meta, dict):
            places = [meta, *places]
            if isinstance(meta.get("dataset_meta"), dict):
                places.insert(0, meta["dataset_meta"])
        for place in places:
            for key in ("classes", "CLASSES", "class_names"):
                names = place.get(key)
                if not isinstance(names, list | tuple) or not names:
                    continue
                if all(isinstance(name, str) for name in names):
                    return tuple(names)
        return self._hub_names()

    def _hub_names(self) -> tuple[str, ...] | None:
        """The names in transformers' config; None where they are the library's `LABEL_0` ..."""
        config = self.metadata.get("hub_config")
        labels = config.get("id2label") if isinstance(config, dict) else None
        if not isinstance(labels, dict) or sorted(labels) != sorted(map(str, range(len(labels)))):
            return None
        names = tuple(str(labels[str(index)]) for index in range(len(labels)))
        return None if names[:1] == ("LABEL_0",) else names


def read_checkpoint(source: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint file without running anything in it.

    Args:
        source: a file; a folder with `model.safetensors` or `pytorch_model.bin` and, perhaps, a
            `config.json`; or what else `download.resolve` fetches, such as a published name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is damaged, or names code that is not plain data.
    """
    found = resolve(source)
    path = _find_file(found)
    try:
        checkpoint = _read_file(path)
    except PickleFault as fault:
        raise ValueError(f"{path}: {fault}") from fault
    if found.is_dir():
        checkpoint.metadata.setdefault("hub_config", _read_hub_config(found / "config.json"))
    return checkpoint


def _find_file(path: Path) -> Path:
    """The file itself, also in a folder as the Hugging Face hub has them."""
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f"{path} is a folder without model.safetensors or pytorch_model.bin; give the file itself"
    )


def _read_hub_config(path: Path) -> object:
    """What transformers and timm store beside the weights; None if it is not there or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _read_file(path: Path) -> Checkpoint:
    num_bytes = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED)
    fault = _describe_foreign(start)
    if num_bytes == 0:
        fault = "the file is empty (0 bytes); download it again"
    if fault is not None:
        raise PickleFault(fault)
    if start.startswith(b"PK\x03\x04"):
        return _read_torch_zip(path)
    if start[8:9] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors(path, start, num_bytes)
    if start[:1] == b"\x80":
        return _read_pickle(path)
    if start[:1] in b"(]}cl" and path.suffix in (".pkl", ".pickle", ".pth", ".pt", ".bin"):
        return _read_pickle(path)  # protocol 0 has no mark of its own
    raise PickleFault(
        f"not a checkpoint: it starts with {start[:8]!r}, as neither torch, pickle nor safetensors "
        "files do"
    )


def _describe_foreign(start: bytes) -> str | None:
    """What a file is that is certainly no checkpoint, and what to do about it."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; run `git lfs pull` where it came from"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "an HTML page, not a checkpoint (a download that failed); download it again"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML page, not a checkpoint (a download that failed); download it again"
    if text.startswith((b'{"', b"{\n", b"[{")) and start[8:9] != b"{":
        return "a JSON text, not a checkpoint"
    for magic, name in _ARCHIVES.items():
        if start.startswith(magic):
            return f"a {name}, not a checkpoint; unpack it first"
    if start[257:262] == b"ustar":
        return (
            "a tar archive: not a checkpoint, or one of a torch older than 0.1.10; "
            "unpack it, or save it again with a newer torch"
        )
    if not start.strip(b"\0"):
        return "only zero bytes; the download or the disk failed; download it again"
    return None


_ARCHIVES = {
    b"\x1f\x8b": "gzip archive",
    b"BZh": "bzip2 archive",
    b"\xfd7zXZ": "xz archive",
    b"7z\xbc\xaf": "7-Zip archive",
    b"\x28\xb5\x2f\xfd": "zstd archive",
    b"\x89PNG": "PNG image",
    b"\xff\xd8\xff": "JPEG image",
    b"%PDF": "PDF document",
    b"\x89HDF": "HDF5 file (Keras?)",
    b"\x7fELF": "program",
}


# --------------------------------------------------------------------------------- safetensors


def _read_safetensors(path: Path, start: bytes, num_bytes: int) -> Checkpoint:
    header = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else _MAX_HEADER + 1
    if header > _MAX_HEADER or start[8:9] != b"{":
        raise PickleFault("not a safetensors file, whatever its name says")
    if header + 8 > num_bytes:
        raise PickleFault(
            f"truncated safetensors file: {num_bytes} bytes, the header alone {header}"
        )
    try:
        with safe_open(path, framework="pt") as archive:
            stored = dict(archive.metadata() or {})
            state = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise PickleFault(f"truncated or damaged safetensors file ({error})") from error
    metadata = {key: _parse_json(value) for key, value in stored.items()}
    return Checkpoint(str(path), "safetensors", state, metadata)


def _parse_json(text: str) -> object:
    """A metadata value: JSON where it is a list or a table, else the text itself."""
    if text[:1] not in "[{":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# --------------------------------------------------------------------------------------- torch


class _Values:
    """The values of a torch file's storages, memory-mapped, each checked against the file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            # a private mapping: torch wants writable memory, and the file must not change
            self._mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.places: dict[str, tuple[int, int]] = {}  # key -> first byte, number of bytes

    def read(self, record: TensorRecord) -> Tensor:
        storage = record.storage
        values = self._storage(storage)
        return values.as_strided(record.size, record.stride, record.offset)

    def _storage(self, storage: StorageRecord) -> Tensor:
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
        if start + storage.num_values * itemsize > len(self._mapping):
            raise PickleFault("truncated: the file ends within its values")
        if storage.num_values == 0:
            return torch.empty(0, dtype=storage.dtype)
        if start % itemsize:  # the older stream does not align its values
            block = bytearray(self._mapping[start : start + storage.num_values * itemsize])
            return torch.frombuffer(block, dtype=storage.dtype)
        return torch.frombuffer(
            self._mapping, dtype=storage.dtype, count=storage.num_values, offset=start
        )


def _read_torch_zip(path: Path) -> Checkpoint:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
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
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise PickleFault(
            f"truncated or damaged torch file ({error}); download it again"
        ) from error
    values = _Values(path)
    for name, member in members.items():
        if name.startswith(f"{root}data/"):
            key = name.removeprefix(f"{root}data/")
            values.places[key] = (_first_byte(path, member), member.file_size)
    return _unwrap(path, "torch", content, values)


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
    """Where a stored member's bytes start: behind its local header and the padding in it."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise PickleFault(f"damaged torch file (no member where {member.filename!r} should start)")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return member.header_offset + 30 + int(name_length) + int(extra_length)


def _read_pickle(path: Path) -> Checkpoint:
    """A plain pickle (detectron2), or the stream of pickles that torch wrote before 1.6."""
    with path.open("rb") as stream:
        content = unpickle(stream)
        if content != _LEGACY_MAGIC:
            return _unwrap(path, "pickle", content, None)
        protocol, system = unpickle(stream), unpickle(stream)
        if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
            raise PickleFault(f"a torch file of unknown version ({str(protocol)[:20]})")
        if system.get("little_endian") is not True:
            raise PickleFault("written on a big-endian machine, which is not read here")
        content, keys = unpickle(stream), unpickle(stream)
        if not isinstance(keys, list):
            raise PickleFault("damaged torch file (no list of storages)")
        values = _Values(path)
        _place_legacy(stream, keys, _itemsizes(content), values)
    return _unwrap(path, "torch legacy", content, values)


def _place_legacy(
    stream: BinaryIO, keys: list[object], itemsizes: dict[str, int], values: _Values
) -> None:
    """Find each storage: a count of 8 bytes, then the values, in the order of the keys."""
    num_bytes = os.fstat(stream.fileno()).st_size
    for key in map(str, keys):
        header = stream.read(8)
        if len(header) < 8:
            raise PickleFault("truncated: the file ends before its values do")
        count = struct.unpack("<q", header)[0]
        size = count * itemsizes.get(key, 1)
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
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return sizes


# ----------------------------------------------------------------------- finding the state dict


def _unwrap(path: Path, container: str, content: object, values: _Values | None) -> Checkpoint:
    """The state dict within what was read, and the plain data beside it."""
    if not isinstance(content, dict):
        raise PickleFault(f"holds a {type(content).__name__}, not a state dict")
    found = [name for name in _STATE_ENTRIES if _is_state(content.get(name))]
    if len(found) > 1:
        raise PickleFault(f"holds more than one state dict ({', '.join(found)}); save one of them")
    if found:
        state, rest = content[found[0]], {k: v for k, v in content.items() if k != found[0]}
    elif _is_state(content):
        state, rest = content, {}
    else:
        names = ", ".join(str(key)[:40] for key in list(content)[:6]) or "nothing"
        raise PickleFault(f"holds no state dict; its entries are: {names}")
    metadata = {str(key): value for key, value in rest.items() if not _is_training_state(key)}
    return Checkpoint(
        str(path),
        container,
        _materialise(state, values),
        metadata,
        tuple(str(key) for key in rest),
    )


def _is_state(value: object) -> bool:
    """A non-empty dict with text keys and a tensor among its values."""
    return (
        isinstance(value, dict)
        and all(isinstance(key, str) for key in value)
        and any(isinstance(part, TensorRecord | ArrayRecord) for part in value.values())
    )


def _is_training_state(key: object) -> bool:
    """Entries that only serve to go on training; they can be larger than the weights."""
    return key in ("optimizer", "lr_scheduler", "message_hub", "param_schedulers", "amp", "scaler")


def _materialise(state: Mapping[str, object], values: _Values | None) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, TensorRecord) and values is not None:
            tensors[key] = values.read(value)
        elif isinstance(value, ArrayRecord):
            try:
                tensors[key] = torch.from_numpy(value.to_numpy())
            except TypeError as error:
                raise PickleFault(f"{key!r} is an array that torch has no type for") from error
        elif isinstance(value, int | float):
            tensors[key] = torch.tensor(value)
        else:
            raise PickleFault(f"{key!r} in the state dict is a {type(value).__name__}, no tensor")
    return tensors
