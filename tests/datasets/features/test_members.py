"""The bytes of one image: a tar header and a safetensors file, as other programs read them."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from safetensors.torch import load as load_torch

from swin_dense.datasets.features.members import (
    TRAILER,
    copy_array,
    find_arrays,
    padding,
    safetensors_header,
    tar_header,
)

ARRAYS = {
    "pooled_0": np.arange(3, dtype=np.float16),
    "level_0": np.arange(30, dtype=np.float16).reshape(3, 2, 5) / 7,
}


def _content(arrays: dict[str, np.ndarray], dtype: str) -> bytes:
    head = safetensors_header(arrays, dtype=dtype, metadata={"id": "a.jpg", "size": (8, 20)})
    return head + b"".join(array.tobytes() for array in arrays.values())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_safetensors_library_reads_what_is_written(dtype: str) -> None:
    arrays = {name: array.astype(dtype) for name, array in ARRAYS.items()}
    read = load(_content(arrays, dtype))
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == dtype


def test_bfloat16_is_torchs_and_comes_back_as_float32_of_the_same_value() -> None:
    values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    content = _content({"level_0": values.view(torch.uint16).numpy()}, "bfloat16")
    assert torch.equal(load_torch(content)["level_0"], values)
    arrays, _ = find_arrays(content, offset=0, num_bytes=len(content))
    np.testing.assert_array_equal(copy_array(content, arrays["level_0"]), values.float().numpy())


def test_arrays_are_found_behind_other_bytes_and_are_the_readers_own() -> None:
    content = b"before" + _content(ARRAYS, "float16") + b"behind"
    arrays, metadata = find_arrays(content, offset=6, num_bytes=len(content) - 12)
    assert metadata == {"id": "a.jpg", "size": [8, 20]}
    read = copy_array(content, arrays["level_0"])
    np.testing.assert_array_equal(read, ARRAYS["level_0"])
    read += 1  # neither read-only nor shared
    np.testing.assert_array_equal(copy_array(content, arrays["level_0"]), ARRAYS["level_0"])


def test_values_begin_at_a_multiple_of_64_bytes() -> None:
    for length in range(70):
        head = safetensors_header(ARRAYS, dtype="float16", metadata={"id": "a" * length})
        assert len(head) % 64 == 0


@pytest.mark.parametrize("name", ["a.jpg", "ä/日本.png", "x/" * 90 + "y" * 200])
def test_a_member_has_neither_owner_nor_time_and_any_name(name: str) -> None:
    content = _content(ARRAYS, "float16")
    tar = tar_header(name, len(content)) + content + padding(len(content)) + bytes(TRAILER)
    with tarfile.open(fileobj=io.BytesIO(tar)) as file:
        (member,) = file.getmembers()
        assert (member.name, member.mtime, member.uid, member.uname) == (name, 0, 0, "")
        assert file.extractfile(member).read() == content


def _change(change: dict[str, object]) -> bytes:
    content = _content(ARRAYS, "float16")
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    entries["level_0"] |= change
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        bytes(100),
        (2).to_bytes(8, "little") + b"[]",
        _content(ARRAYS, "float16")[:-1],
        _change({"data_offsets": [6, 1 << 40]}),
        _change({"data_offsets": [-6, 54]}),
        _change({"shape": [3, 2, 6]}),
        _change({"shape": [-3, -2, 5]}),
        _change({"dtype": "I64"}),
        _change({"data_offsets": None}),
    ],
)
def test_damaged_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no safetensors file of features"):
        find_arrays(content, offset=0, num_bytes=len(content))
