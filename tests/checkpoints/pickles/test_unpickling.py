"""Pickles are read without running anything in them."""

import collections
import io
import os
import pickle
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from swin_dense.checkpoints.pickles.pickled_values import ArrayRecord, PickleFault
from swin_dense.checkpoints.pickles.unpickling import unpickle


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def _read(content: bytes) -> object:
    return unpickle(io.BytesIO(content))


def _laugh(first: bytes, last: bytes) -> bytes:
    """A container of ten times a container of ten times another one, and so on: 10**40 in all."""
    levels = [
        b"(" + b"h%c" % (9 + level) * 10 + last + b"q%c0" % (10 + level) for level in range(40)
    ]
    return first + b"q\x090" + b"".join(levels) + b"h\x31"


_TUPLES, _LISTS = _laugh(b")", b"t"), _laugh(b"]", b"l")


@pytest.fixture
def ten_seconds() -> Iterator[None]:
    """Fail, instead of waiting for ever, a test that takes longer than that."""

    def stop(*_: object) -> None:
        raise TimeoutError("took longer than ten seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


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


@pytest.mark.usefixtures("ten_seconds")
@pytest.mark.parametrize("endless", [_TUPLES, _LISTS], ids=["tuples", "lists"])
@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (b"}", b"Ns", "a (tuple|list) as a key"),
        (b"\x8f(", b"\x90", "a (tuple|list) as a key"),
        (b"(", b"\x91", "a (tuple|list) as a key"),
        (b"cbuiltins\nset\n](", b"e\x85R", "a (tuple|list) as a key"),
        (b"ctorch\nSize\n", b"\x85R", "size a (tuple|list), a"),
        (b"cnumpy\ndtype\n", b"\x85R", "NumPy data type a (tuple|list)"),
        (b"c_codecs\nencode\nX\1\0\0\0a", b"\x86R", "the codec a (tuple|list)"),
        (b"ccollections\nOrderedDict\n)", b"\x92", "named arguments"),
        (
            b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000NK\4(",
            b"K\0K\1ttQ",
            "a (tuple|list) as the key of a storage",
        ),
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n"
            b"((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000NK\4tQK\0K\1\x85K\1\x85\x89N",
            b"tR",
            "stored with a (tuple|list)",
        ),
    ],
    ids=["key", "set", "frozenset", "set()", "size", "dtype", "codec", "named", "view", "marks"],
)
def test_references_that_multiply_are_refused_wherever_text_or_numbers_belong(
    endless: bytes, before: bytes, after: bytes, fault: str
) -> None:
    with pytest.raises(PickleFault, match=fault):
        _read(b"\x80\4" + before + endless + after + b".")


@pytest.mark.usefixtures("ten_seconds")
@pytest.mark.parametrize(
    "identity", [b"\x8f", b"C\x010", b"cbuiltins\nobject\n)R", _TUPLES, _LISTS]
)
def test_ids_that_are_no_text_are_refused(identity: bytes) -> None:
    with pytest.raises(PickleFault, match="a persistent id that is not torch's"):
        _read(b"\x80\4" + identity + b"Q.")
    start = b"\x80\4(X\7\0\0\0storagectorch\nFloatStorage\n"
    with pytest.raises(PickleFault, match="as the key of a storage"):
        _read(start + identity + b"NK\4tQ.")


@pytest.mark.usefixtures("ten_seconds")
def test_numbers_that_share_a_hash_are_no_keys() -> None:
    colliding = [pickle.encode_long((2**61 - 1) * factor) for factor in range(2, 100_000)]
    items = b"".join(b"\x8a%c" % len(number) + number + b"N" for number in colliding)
    with pytest.raises(PickleFault, match="as a key"):
        _read(b"\x80\2}(" + items + b"u.")
    with pytest.raises(PickleFault, match="a tuple as a key"):
        _read(pickle.dumps({(1, 2): None}))
    assert _read(pickle.dumps({2**59: 1, ("a", None): 2})) == {2**59: 1, ("a", None): 2}


@pytest.mark.usefixtures("ten_seconds")
@pytest.mark.parametrize(
    ("value", "call"),
    [
        (b"](" + b"N" * 200_000 + b"e", b"cbuiltins\nlist\nh\0\x85R0"),
        (b"X\x40\x42\x0f\0" + b"a" * 1_000_000, b"c_codecs\nencode\nh\0X\5\0\0\0utf-8\x86R0"),
        (
            b"}(" + b"".join(b"M%sN" % struct.pack("<H", key) for key in range(60_000)) + b"u",
            b"cargparse\nNamespace\n)\x81h\0b0",
        ),
    ],
    ids=["list", "text", "attributes"],
)
def test_one_value_that_many_calls_copy_is_refused(value: bytes, call: bytes) -> None:
    assert _read(b"\x80\2" + value + b"q\0" + call + b"N.") is None
    with pytest.raises(PickleFault, match="copies the same values again and again"):
        _read(b"\x80\2" + value + b"q\0" + call * 1000 + b"N.")
