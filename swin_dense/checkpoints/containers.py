"""Checkpoint files as state dicts: torch (zip and the older stream), pickle and safetensors.

The content decides on the format, not the name. Nothing in a file is run (`unpickling.py`). Values
stay in the file, memory-mapped, until they are copied into a module. A file that is none of these
raises a `ValueError` that names what it is instead.
"""

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from swin_dense.checkpoints.download import resolve
from swin_dense.checkpoints.pickles.pickled_values import (
    ArrayRecord,
    PickleFault,
    TensorRecord,
    brief,
    parts_of,
)
from swin_dense.checkpoints.pickles.torch_files import StoredValues, open_pickle, open_torch_zip

_STATE_ENTRIES = ("state_dict", "model", "model_state_dict", "module")
_HUB_NAMES = ("model.safetensors", "pytorch_model.bin")  # on the Hugging Face hub
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pth", ".pt", ".bin")
_MAX_HEADER = 100 << 20  # bytes; the limit of the safetensors format
_MOST_NAMED = 5  # files of a folder
_SNIFFED = 512  # bytes at the start of a file that show its kind
# Limits of the plain data beside the weights, followed along every reference to each of its values.
_MAX_DEPTH = 200
_FREE_REFERENCES, _REPEATS = 1_000_000, 4


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a file, and the plain data beside them.

    Attributes:
        source: path of the file, for messages.
        container: format of the file: `torch`, `torch legacy`, `pickle` or `safetensors`.
        state: parameters and buffers under the file's names, on the CPU, in the file's dtypes.
        metadata: the file's other plain data; `meta` of OpenMMLab's files among it.
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

    @property
    def category_ids(self) -> list[int] | None:
        """The ids of COCO's categories that the file stores, in label order; None without any."""
        ids = self.metadata.get("category_ids")
        if not isinstance(ids, list) or not all(type(value) is int for value in ids):
            return None
        return ids if all(abs(value) < 2**63 for value in ids) else None

    def _hub_names(self) -> tuple[str, ...] | None:
        """Class names of transformers' config; None where they are the library's `LABEL_0` ..."""
        config = self.metadata.get("hub_config")
        labels = config.get("id2label") if isinstance(config, dict) else None
        if not isinstance(labels, dict) or set(labels) != set(map(str, range(len(labels)))):
            return None
        names = tuple(str(labels[str(index)]) for index in range(len(labels)))
        return None if names[:1] == ("LABEL_0",) else names


def read_checkpoint(source: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint file without running anything in it.

    Args:
        source: a file; a folder with `model.safetensors` or `pytorch_model.bin`, beside which a
            `config.json` is read, too; or any other source of `download.resolve`, such as a
            published name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is damaged, may not be read, or names code that is
            not plain data.
    """
    found = resolve(source)
    path = _find_file(found)
    try:
        checkpoint = _read_file(path)
    except PickleFault as fault:
        raise ValueError(f"{path}: {fault}") from fault
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    if path.name in _HUB_NAMES:
        config = _read_hub_config(path.parent / "config.json")
        checkpoint.metadata.setdefault("hub_config", config)
    return checkpoint


def _find_file(path: Path) -> Path:
    """The file itself, also in a folder as the Hugging Face hub has them."""
    if not path.is_dir():
        return path
    for name in _HUB_NAMES:
        if (path / name).is_file():
            return path / name
    inside = sorted(path.glob("*/model.safetensors")) or sorted(path.glob("*/*/model.safetensors"))
    more = ", ..." if len(inside) > _MOST_NAMED else ""
    named = ", ".join(str(file) for file in inside[:_MOST_NAMED])
    raise FileNotFoundError(
        f"{path} is a folder without model.safetensors or pytorch_model.bin; give the file itself"
        + (f", such as {named}{more}" if inside else "")
    )


def _read_hub_config(path: Path) -> object:
    """The config that transformers and timm store beside weights; None if absent or no JSON."""
    if not path.is_file():  # a pipe would wait without end
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _read_file(path: Path) -> Checkpoint:
    if not path.is_file():
        raise PickleFault("not a file (a device or a pipe?)")
    num_bytes = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED)
    fault = _describe_foreign(start)
    if num_bytes == 0:
        fault = "the file is empty (0 bytes); download it again"
    if fault is not None:
        raise PickleFault(fault)
    if start.startswith(b"PK\x03\x04"):
        content, values = open_torch_zip(path)
        return _unwrap(path, "torch", content, values)
    if start[8:9] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors(path, start, num_bytes)
    # protocol 0 has no mark of its own
    if start[:1] == b"\x80" or (start[:1] in b"(]}cl" and path.suffix in _PICKLE_SUFFIXES):
        pickled, stored = open_pickle(path)
        return _unwrap(path, "pickle" if stored is None else "torch legacy", pickled, stored)
    raise PickleFault(
        f"not a checkpoint: it starts with {start[:8]!r}, as neither torch, pickle nor safetensors "
        "files do"
    )


def _describe_foreign(start: bytes) -> str | None:
    """The kind of a file that is certainly no checkpoint, and the remedy; None for others."""
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
    # Imported here: `import swin_dense` costs torch and nothing else.
    from safetensors import SafetensorError, safe_open

    header = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else _MAX_HEADER + 1
    if header > _MAX_HEADER or start[8:9] != b"{":
        raise PickleFault("not a safetensors file, in spite of its name")
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


# ----------------------------------------------------------------------- finding the state dict


def _unwrap(path: Path, container: str, content: object, values: StoredValues | None) -> Checkpoint:
    """The state dict within a file's content, and the plain data beside it."""
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
        shown = (key[:40] if isinstance(key, str) else brief(key) for key in list(content)[:6])
        names = " ".join(", ".join(shown).split()) or "none"
        raise PickleFault(f"holds no state dict; its entries are: {names}")
    metadata = {str(key): value for key, value in rest.items() if not _is_training_state(key)}
    _check_references(metadata)
    return Checkpoint(
        str(path),
        container,
        _materialise(state, values),
        metadata,
        tuple(str(key) for key in rest),
    )


def _check_references(content: object) -> None:
    """Refuse data that nobody could print, compare or walk in a sensible time.

    A list that holds another one ten times, which holds another one ten times, and so on, is small
    in the file and endless for a reader that follows it; so is one that holds itself.
    """
    unfolded: dict[int, int] = {}  # by id: references below a container, each followed every time
    ancestors: set[int] = set()
    num_references = 0
    waiting = [content]
    while waiting:
        value = waiting[-1]
        parts = parts_of(value)
        if not parts or id(value) in unfolded:
            waiting.pop()
        elif id(value) in ancestors:  # everything below it is counted by now
            ancestors.remove(id(value))
            num_references += len(parts)
            unfolded[id(value)] = sum(1 + unfolded.get(id(part), 0) for part in parts)
        else:
            ancestors.add(id(value))
            if len(ancestors) > _MAX_DEPTH or any(id(part) in ancestors for part in parts):
                raise PickleFault(
                    f"data beside the weights is nested deeper than {_MAX_DEPTH} or within itself"
                )
            waiting.extend(part for part in parts if id(part) not in unfolded)
    if unfolded.get(id(content), 0) > _FREE_REFERENCES + _REPEATS * num_references:
        raise PickleFault(
            "data beside the weights refers to the same values again and again "
            f"({num_references} references that unfold to more than {_FREE_REFERENCES})"
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


def _materialise(state: Mapping[str, object], values: StoredValues | None) -> dict[str, Tensor]:
    """The state dict's tensors; entries that share an array or a storage share memory."""
    tensors: dict[str, Tensor] = {}
    arrays: dict[int, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, TensorRecord) and values is not None:
            tensors[key] = values.read(value)
        elif isinstance(value, ArrayRecord):
            if id(value) not in arrays:
                arrays[id(value)] = _array_to_tensor(key, value)
            tensors[key] = arrays[id(value)]
        elif isinstance(value, int | float):
            try:
                tensors[key] = torch.tensor(value)
            except (OverflowError, RuntimeError, ValueError) as error:
                raise PickleFault(f"{brief(key)} is a number that torch has no type for") from error
        else:
            kind = type(value).__name__
            raise PickleFault(f"{brief(key)} in the state dict is a {kind}, no tensor")
    return tensors


def _array_to_tensor(key: str, array: ArrayRecord) -> Tensor:
    try:
        return torch.from_numpy(array.to_numpy())
    except TypeError as error:
        raise PickleFault(f"{brief(key)} is an array that torch has no type for") from error
