"""Storages of torch's files: where they lie, how they are shared, and ids that are none."""

import io
import pickle
import struct
from pathlib import Path

import pytest
import torch

from swin_dense.checkpoints.pickles.pickled_values import PickleFault, StorageRecord, TensorRecord
from swin_dense.checkpoints.pickles.torch_files import StoredValues, open_pickle, open_torch_zip


def _values(path: Path, content: bytes, **places: tuple[int, int]) -> StoredValues:
    path.write_bytes(content)
    values = StoredValues(path)
    values.places.update(places)
    return values


def _record(
    *, num_values: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0
) -> TensorRecord:
    storage = StorageRecord("a", torch.float32, num_values, "a", 0)
    return TensorRecord(storage, offset, size, stride)


@pytest.mark.parametrize("start", [0, 8, 3], ids=["first", "aligned", "not aligned"])
def test_tensor_is_a_strided_view_of_its_storage(tmp_path: Path, start: int) -> None:
    stored = torch.arange(6, dtype=torch.float32)
    content = bytes(start) + stored.numpy().tobytes()
    values = _values(tmp_path / "a", content, a=(start, 24))
    turned = values.read(_record(num_values=6, size=(2, 2), stride=(1, 2), offset=1))
    assert torch.equal(turned, torch.tensor([[1.0, 3.0], [2.0, 4.0]]))


@pytest.mark.parametrize("start", [0, 3], ids=["aligned", "not aligned"])
def test_tensors_of_one_storage_share_its_memory(tmp_path: Path, start: int) -> None:
    values = _values(tmp_path / "a", bytes(start + 24), a=(start, 24))
    whole = values.read(_record(num_values=6, size=(6,), stride=(1,)))
    part = values.read(_record(num_values=6, size=(2,), stride=(1,), offset=4))
    assert part.data_ptr() == whole[4:].data_ptr()


def test_writing_into_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    values = _values(tmp_path / "a", bytes(24), a=(0, 24))
    values.read(_record(num_values=6, size=(6,), stride=(1,))).fill_(1)
    assert (tmp_path / "a").read_bytes() == bytes(24)


def test_empty_tensors_have_any_size_that_torch_can_hold(tmp_path: Path) -> None:
    values = _values(tmp_path / "a", bytes(24), a=(0, 24))
    assert values.read(_record(num_values=6, size=(0, 3), stride=(3, 1))).shape == (0, 3)
    huge = 2**59
    with pytest.raises(PickleFault, match=rf"a tensor of size \({huge}, {huge}, 0\)"):
        values.read(_record(num_values=6, size=(huge, huge, 0), stride=(huge, huge, 1)))


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ({}, "values of storage 'a' are missing"),
        ({"a": (0, 20)}, "should hold 6 values of torch.float32, it has 20 bytes"),
        ({"a": (4, 24)}, "truncated: the file ends within its values"),
    ],
)
def test_storages_that_the_file_does_not_hold_are_refused(
    tmp_path: Path, place: dict[str, tuple[int, int]], fault: str
) -> None:
    values = _values(tmp_path / "a", bytes(24), **place)
    with pytest.raises(PickleFault, match=fault):
        values.read(_record(num_values=6, size=(6,), stride=(1,)))


@pytest.mark.parametrize("legacy", [False, True])
def test_content_has_records_in_place_of_tensors(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(3.0)}, path, _use_new_zipfile_serialization=not legacy)
    content, values = open_pickle(path) if legacy else open_torch_zip(path)
    assert isinstance(content, dict)
    assert isinstance(content["w"], TensorRecord)
    assert values is not None
    assert torch.equal(values.read(content["w"]), torch.arange(3.0))


def test_plain_pickle_has_no_stored_values(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, 2]))
    assert open_pickle(tmp_path / "a.pkl") == ([1, 2], None)


def _legacy(*, version: bytes = b"M\xe9\3.", keys: bytes) -> bytes:
    """An older torch file with one storage of four values, and a tensor of them."""
    stream = io.BytesIO()
    stream.write(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))
    stream.write(b"\x80\2" + version)
    stream.write(pickle.dumps({"little_endian": True}, protocol=2))
    storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000NK\4NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0K\4\x85K\1\x85\x89NtR"
    stream.write(b"\x80\2}X\1\0\0\0w" + tensor + b"s.")
    stream.write(b"\x80\2" + keys + b".")
    stream.write(struct.pack("<q4f", 4, 1, 2, 3, 4))
    return stream.getvalue()


def test_older_file_written_by_hand_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(_legacy(keys=b"]X\1\0\0\x000a"))
    content, values = open_pickle(tmp_path / "a.pth")
    assert isinstance(content, dict)
    assert values is not None
    assert values.read(content["w"]).tolist() == [1, 2, 3, 4]


_NESTED = b")q\1" + b"".join(b"(" + b"h%c" % (1 + i) * 10 + b"tq%c" % (2 + i) for i in range(40))


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (_legacy(keys=b"]\x8fa"), "a set as the key of a storage"),
        (_legacy(keys=b"](C\x010e"), "a bytes as the key of a storage"),
        (_legacy(keys=b"]cbuiltins\nobject\n)Ra"), "as the key of a storage"),
        (_legacy(keys=b"](" + _NESTED + b"e"), "a tuple as the key of a storage"),
        (_legacy(keys=b"]\x8b\x88\x13\0\0" + b"\x11" * 5000 + b"a"), "as the key of a storage"),
        (_legacy(keys=b"]X\1\0\0\x001a"), "storage '1' is used by no tensor"),
        (_legacy(keys=b"N"), "no list of storages"),
        (_legacy(version=b"(" + _NESTED + b"t.", keys=b"]"), r"unknown version \(a tuple\)"),
    ],
    ids=["set", "bytes", "object", "tuple", "number", "unknown", "none", "version"],
)
def test_storages_of_older_files_are_named_by_text_or_address(
    tmp_path: Path, file: bytes, fault: str
) -> None:
    (tmp_path / "a.pth").write_bytes(file)
    with pytest.raises(PickleFault, match=fault):
        open_pickle(tmp_path / "a.pth")
