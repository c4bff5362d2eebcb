"""Pickles are read without running anything in them."""

import collections
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from swin_dense.checkpoints.pickled_names import ArrayRecord, PickleFault
from swin_dense.checkpoints.unpickling import unpickle


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def _read(content: bytes) -> object:
    return unpickle(io.BytesIO(content))


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_comes_back_as_it_was(protocol: int) -> None:
    data = {
        "text": ["a", "ä", ""],
        "numbers": (1, -2, 3.5, 2**80, True, None),
        "bytes": b"\x00\xff",
        "nested": {"set": {1, 2}, "ordered": collections.OrderedDict(a=1)},
    }
    read = _read(pickle.dumps(data, protocol=protocol))
    assert read == data


def test_shared_and_self_containing_lists_are_one_object() -> None:
    inner: list[object] = []
    inner.append(inner)
    read = _read(pickle.dumps([inner, inner]))
    assert isinstance(read, list)
    assert read[0] is read[1] is read[0][0]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_and_scalars_keep_values_and_type(protocol: int, order: str) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).copy(order=order)
    read = _read(pickle.dumps({"a": array, "s": np.float64(0.25)}, protocol=protocol))
    assert isinstance(read, dict)
    record = read["a"]
    assert isinstance(record, ArrayRecord)
    np.testing.assert_array_equal(record.to_numpy(), array)
    assert read["s"] == 0.25


def test_array_of_objects_has_no_values() -> None:
    read = _read(pickle.dumps(np.array([None, {}], dtype=object)))
    assert isinstance(read, ArrayRecord)
    with pytest.raises(PickleFault, match="no plain values"):
        read.to_numpy()


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_of_the_shell_is_refused_and_not_made(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps({"w": [_Call(os.system, f"touch {marker}")]}, protocol=protocol)
    with pytest.raises(PickleFault, match=r"refused: the pickle names '\w+\.system'.*nothing was"):
        _read(content)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("1",)),
        (exec, ("pass",)),
        (open, ("x", "w")),
        (__import__, ("os",)),
        (pickle.loads, (b"N.",)),
        (np.load, ("x",)),
        (getattr, ("text", "join")),
        (type, ("A", (), {})),
        (print, ("x",)),
    ],
)
def test_other_functions_are_refused_by_name(
    function: object, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(PickleFault, match="refused"):
        _read(pickle.dumps(_Call(function, *arguments)))


def test_known_names_cannot_be_led_to_unknown_ones() -> None:
    # getattr on a class that stands for plain data, and a codec that would be imported
    with pytest.raises(PickleFault, match="getattr"):
        _read(b"c__builtin__\ngetattr\nccollections\nOrderedDict\nX\x05\0\0\0clear\x86R.")
    with pytest.raises(PickleFault, match="codec"):
        _read(b"c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0zip\x86R.")
    with pytest.raises(PickleFault, match="calls a"):
        _read(b"X\x01\0\0\0a)R.")
    with pytest.raises(PickleFault, match="sets the state of a _Global"):
        _read(b"ccollections\nOrderedDict\n}X\x01\0\0\0aK\x01sb.")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02X\xff\xff\xff\xffab.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N",
        b".",
        b"0.",
        b"t.",
        b"s.",
        b"Ns.",
        b"NNa.",
        b"h\x05.",
        b"\xff\xff",
        b"c\n\n.",
        b"\x80\x02]]s.",
        b"\x80\x02}]Ns.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02N\x51.",
        b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0f8\x85R(K\x03X\x01\0\0\0qtb.",
    ],
)
def test_damaged_pickles_are_one_kind_of_fault(content: bytes) -> None:
    with pytest.raises(PickleFault):
        _read(content)


def test_a_huge_memo_index_takes_no_memory() -> None:
    assert _read(b"\x80\x02Nr\xff\xff\xff\x7f.") is None


def test_deep_nesting_as_a_key_is_refused_before_it_is_hashed() -> None:
    deep = b"N" + b"\x85" * 200_000
    with pytest.raises(PickleFault, match="as a key"):
        _read(b"\x80\x02}" + deep + b"Ns.")


def test_stream_is_left_behind_the_pickle() -> None:
    stream = io.BytesIO(pickle.dumps(1) + pickle.dumps(2) + b"rest")
    assert [unpickle(stream), unpickle(stream), stream.read()] == [1, 2, b"rest"]


@pytest.mark.parametrize("name", ["pathlib\nPosixPath", "torch\ndevice"])
def test_text_that_doubles_itself_is_stopped(name: str) -> None:
    content = f"\x80\x02c{name}\nq\0X\x01\0\0\0x\x85R".encode("latin1")
    with pytest.raises(PickleFault, match="more than 4096 characters"):
        _read(content + b"q\1h\0h\1h\1\x86R" * 60 + b".")
