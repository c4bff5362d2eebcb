"""The metadata of an exported file, read without running any of it.

An ONNX file is a protocol buffer, a package is a zip archive; what is large in them is passed over.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata

_METADATA_PROPS = 14  # field of ONNX's ModelProto: entries of a key (1) and a value (2)
_LARGEST_JSON = 2**24  # bytes


def read_metadata(path: str | os.PathLike[str]) -> ExportMetadata:
    """Read what an exported file tells of itself.

    Args:
        path: `*.onnx` or `*.pt2`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file that `swin-dense export` wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    is_onnx = path.suffix.lower() == ".onnx"
    text = _read_onnx(path) if is_onnx else _read_package(path)
    return ExportMetadata.from_json(text, source=path)


def _read_onnx(path: Path) -> str | None:
    """The text among the metadata of an ONNX file."""
    with path.open("rb") as file:
        try:
            for number, size in _fields(file, path.stat().st_size):
                if number != _METADATA_PROPS:
                    file.seek(size, os.SEEK_CUR)
                    continue
                entry, parts = io.BytesIO(file.read(size)), {}
                for part, length in _fields(entry, size):
                    parts[part] = entry.read(length)
                if parts.get(1) == METADATA_KEY.encode():
                    return parts.get(2, b"").decode()
        except (EOFError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as an ONNX file") from error
    return None


def _fields(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Number and size in bytes of each field with a length; who takes it moves behind it."""
    end = file.tell() + size
    while file.tell() < end:
        number, wire_type = divmod(_read_varint(file), 8)
        if wire_type == 0:
            _read_varint(file)
        elif wire_type in (1, 5):
            file.seek(8 if wire_type == 1 else 4, os.SEEK_CUR)
        elif wire_type == 2:
            length = _read_varint(file)
            if file.tell() + length > end:
                raise EOFError
            yield number, length
        else:
            raise EOFError


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise EOFError


def _read_package(path: Path) -> str | None:
    """The text among the metadata of a package."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                is_metadata = member.filename.endswith("metadata.json")
                if is_metadata and member.file_size < _LARGEST_JSON:
                    stored = json.loads(archive.read(member))
                    if isinstance(stored, dict) and isinstance(stored.get(METADATA_KEY), str):
                        return stored[METADATA_KEY]
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a package") from error
    return None
