"""The bytes of one image in a shard: a tar header, and behind it a safetensors file.

A member is named `ID/features.safetensors`. WebDataset cuts a name at the first dot behind the last
slash, so the key of the sample is `ID/features` and its one field `safetensors`, whatever dots and
folders the id has; `ID.safetensors` would give `a.jpg` and `a.png` one key.
"""

import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

BLOCK = 512  # bytes; a tar file is made of such blocks
TRAILER = 2 * BLOCK  # two empty blocks end it
MEMBER_SUFFIX = "/features.safetensors"
ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}

_NAMES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
# numpy has no bfloat16: its bits are kept as whole numbers.
_ARRAY_TYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
}
_ALIGNMENT = 64  # bytes; of the first value, so that a mapped array starts where vectors may
_MAX_HEADER = 100 << 20  # bytes; the limit of the safetensors format


class StoredArray(NamedTuple):
    """A tensor of a member: type as safetensors names it, and where its bytes are in the shard."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


def tar_header(name: str, num_bytes: int) -> bytes:
    """The blocks before a member's content: no owner, no time, the same bytes every time."""
    header = tarfile.TarInfo(name)
    header.size = num_bytes
    return header.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="strict")


def padding(num_bytes: int) -> bytes:
    """Zeros that fill the last block of a content."""
    return bytes(-num_bytes % BLOCK)


def safetensors_header(
    arrays: Mapping[str, np.ndarray], *, dtype: str, metadata: Mapping[str, Any]
) -> bytes:
    """The part of a safetensors file that stands before the values.

    Written here, so that the values go from where they are to the file and are copied nowhere else.

    Args:
        arrays: in the order in which their bytes will follow.
        dtype: of all of them, a name in `ITEM_BYTES`; arrays of bfloat16 hold its bits.
        metadata: stored as JSON texts.
    """
    entries: dict[str, Any] = {
        "__metadata__": {name: json.dumps(value) for name, value in metadata.items()}
    }
    start = 0
    for name, array in arrays.items():
        stop = start + array.nbytes
        entries[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def find_arrays(
    shard: Any, *, offset: int, num_bytes: int
) -> tuple[dict[str, StoredArray], dict[str, Any]]:
    """Read the header of a member.

    Args:
        shard: bytes of the tar file, such as a memory map.
        offset: where the member's content begins.
        num_bytes: of the content.

    Returns:
        The arrays by name, and the metadata.

    Raises:
        ValueError: this is no safetensors file of our types.
    """
    try:
        length = int.from_bytes(shard[offset : offset + 8], "little")
        start = offset + 8 + length
        if length > min(_MAX_HEADER, num_bytes - 8):
            raise ValueError(f"a header of {length} bytes")
        entries = json.loads(bytes(shard[offset + 8 : start]))
        metadata = {key: json.loads(text) for key, text in entries.pop("__metadata__", {}).items()}
        arrays = {}
        for name, entry in entries.items():
            first, last = entry["data_offsets"]
            array = StoredArray(entry["dtype"], tuple(entry["shape"]), start + first, start + last)
            if min(array.shape, default=0) < 0:
                raise ValueError(f"{name} of shape {array.shape}")
            size = int(np.prod(array.shape, dtype=np.int64)) * _ARRAY_TYPES[array.kind].itemsize
            if not 0 <= first <= last <= num_bytes - 8 - length or last - first != size:
                raise ValueError(f"{name} of shape {array.shape} in {last - first} bytes")
            arrays[name] = array
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no safetensors file of features: {error}") from error
    return arrays, metadata


def copy_array(shard: Any, array: StoredArray) -> np.ndarray:
    """A tensor of a member, copied out of the shard.

    Returns:
        float16 or float32; bfloat16 as float32, which holds the same values.
    """
    count = int(np.prod(array.shape, dtype=np.int64))
    stored = np.frombuffer(shard, _ARRAY_TYPES[array.kind], count, array.start)
    if array.kind == "BF16":  # the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32).reshape(array.shape)
    return stored.reshape(array.shape).copy()


def array_names(levels: Sequence[int], *, pooled: bool) -> list[str]:
    """Names of a member's tensors in the order in which they are stored: small ones first."""
    names = [f"pooled_{level}" for level in levels] if pooled else []
    return names + [f"level_{level}" for level in levels]
