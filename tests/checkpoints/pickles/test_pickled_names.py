"""The names that pickles may use build plain data from plain arguments."""

import numpy as np
import pytest
import torch

from swin_dense.checkpoints.pickles.pickled_names import (
    build_storage,
    call,
    find_name,
    hashable,
    set_items,
    set_state,
    storage_key,
)
from swin_dense.checkpoints.pickles.pickled_values import (
    ArrayRecord,
    Inert,
    PickleFault,
    StorageRecord,
    TensorRecord,
    brief,
    parts_of,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", r"'a\nb'"),
        ("x" * 10**6, f"'{'x' * 120}'"),
        (3, "3"),
        (2.5, "2.5"),
        (None, "None"),
        (True, "True"),
        (10**5000, "a int"),
        (["text"], "a list"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_show_any_value_in_few_characters(value: object, text: str) -> None:
    assert brief(value) == text


@pytest.mark.parametrize(
    ("module", "name", "arguments", "expected"),
    [
        ("collections", "OrderedDict", ([("a", 1), ["b", 2]],), {"a": 1, "b": 2}),
        ("mmengine.config.config", "ConfigDict", ({"a": 1},), {"a": 1}),
        ("yacs.config", "CfgNode", ({"a": 1},), {"a": 1}),
        ("pathlib", "PosixPath", ("a", "b.pth"), "a/b.pth"),
        ("pathlib._local", "PosixPath", ("a",), "a"),
        ("torch", "Size", ([2, 3],), (2, 3)),
        ("torch", "device", ("cuda", 1), "cuda:1"),
        ("__builtin__", "set", ([1, 2],), {1, 2}),
        ("builtins", "bytearray", ("ab", "latin-1"), bytearray(b"ab")),
        ("_codecs", "encode", ("\xff", "latin1"), b"\xff"),
    ],
)
def test_known_names_build_plain_data(
    module: str, name: str, arguments: tuple[object, ...], expected: object
) -> None:
    assert call(find_name(module, name), arguments) == expected


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.load", "numpy.load", "x.y"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(PickleFault, match=f"refused: the pickle names '{name}'"):
        find_name(*name.split("."))


def test_what_is_no_name_is_not_called() -> None:
    for value in (print, "text", {}):
        with pytest.raises(PickleFault, match="it calls a"):
            call(value, ())


@pytest.mark.parametrize("key", ["a", b"a", 1, -(2**59), 0.5, None, True, ("a", b"b", None), ()])
def test_flat_keys_are_hashable(key: object) -> None:
    assert hashable(key) is key


@pytest.mark.parametrize("key", [[], {}, (("a",),), (1, 2), 2**60, -(2**61), frozenset()])
def test_other_keys_are_refused(key: object) -> None:
    with pytest.raises(PickleFault, match="as a key"):
        hashable(key)


def test_items_are_set_in_dicts_alone() -> None:
    content: dict[str, int] = {}
    set_items(content, ["a", 1, "b", 2])
    assert content == {"a": 1, "b": 2}
    for target, items in (([], ["a", 1]), (content, ["a"])):
        with pytest.raises(PickleFault, match="sets items of what is not a dict"):
            set_items(target, items)


def test_storage_has_a_type_a_key_and_a_size() -> None:
    kind = find_name("torch", "HalfStorage")
    storage = build_storage(("storage", kind, "7", "cuda:0", 12))
    assert storage == StorageRecord("7", torch.float16, 12, "7", 0)
    part = build_storage(("storage", kind, "7", "cpu", 12, (8, 4, 6)))
    assert part == StorageRecord("8", torch.float16, 6, "7", 4)


@pytest.mark.parametrize(
    ("identity", "fault"),
    [
        (("module", None, "0", "cpu", 1), "not torch's"),
        (("storage", "FloatStorage", "0", "cpu", 1), "unknown type"),
        (("storage", find_name("torch", "Size"), "0", "cpu", 1), "unknown type"),
        (("storage", find_name("torch", "FloatStorage"), "0", "cpu", -1), "-1 as the size"),
        (("storage", find_name("torch", "FloatStorage"), "0", "cpu", 2**60), "as the size"),
        (("storage", find_name("torch", "FloatStorage"), {1}, "cpu", 1), "a set as the key"),
        (("storage", find_name("torch", "FloatStorage"), "0", "cpu", 4, ("1", 3, 2)), "larger"),
        (("storage", find_name("torch", "FloatStorage"), "0", "cpu", 4, ([], 0, 2)), "a list as"),
    ],
)
def test_storages_that_cannot_be_are_refused(identity: object, fault: str) -> None:
    with pytest.raises(PickleFault, match=fault):
        build_storage(identity)


def test_keys_of_storages_are_text_or_addresses() -> None:
    assert storage_key("0") == "0"
    assert storage_key(94430421363072) == "94430421363072"
    for key in (2**60, 0.5, b"0", None, ("0",)):
        with pytest.raises(PickleFault, match="as the key of a storage"):
            storage_key(key)


def _tensor(size: object, stride: object, offset: object = 0, num_values: int = 6) -> object:
    storage = StorageRecord("0", torch.float32, num_values, "0", 0)
    rebuild = find_name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, (storage, offset, size, stride, False, {}))


def test_tensor_within_its_storage_is_a_record() -> None:
    record = _tensor((2, 3), (3, 1))
    assert isinstance(record, TensorRecord)
    assert (record.size, record.stride, record.offset) == ((2, 3), (3, 1), 0)
    assert isinstance(_tensor((), (), 5), TensorRecord)
    assert isinstance(_tensor((0, 9), (9, 1)), TensorRecord)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((2, 3), (3, 1), 1),
        ((2, 4), (0, 1), 0),
        ((), (), 6),
        ((2**40,), (0,), 0),
        ((2,), (3, 1), 0),
        ((-1,), (1,), 0),
        ((2,), (1,), -1),
        ((2.0,), (1,), 0),
        ((1,) * 33, (1,) * 33, 0),
        (2, 1, 0),
    ],
)
def test_tensor_beyond_its_storage_is_refused(size: object, stride: object, offset: object) -> None:
    with pytest.raises(PickleFault, match=r"size|without storage"):
        _tensor(size, stride, offset)


def test_array_of_other_byte_order_becomes_native() -> None:
    array = call(find_name("numpy._core.multiarray", "_reconstruct"), (None, (0,), b"b"))
    dtype = call(find_name("numpy", "dtype"), ("i2", False, True))
    set_state(dtype, (3, ">", None, None, None, -1, -1, 0))
    set_state(array, (1, (2,), dtype, False, b"\0\1\0\2"))
    assert isinstance(array, ArrayRecord)
    np.testing.assert_array_equal(array.to_numpy(), np.array([1, 2], np.int16))


def test_array_whose_shape_its_values_do_not_fill_is_refused() -> None:
    with pytest.raises(PickleFault, match=r"shape \(2, 1099511627776\) has 4 values"):
        ArrayRecord((2, 2**40), "u1", b"abcd").to_numpy()
    with pytest.raises(PickleFault, match="no plain values"):
        ArrayRecord().to_numpy()


def test_parts_are_those_of_containers() -> None:
    assert list(parts_of({"a": 1})) == [1]
    assert list(parts_of([1, 2])) == [1, 2]
    assert list(parts_of(Inert("HistoryBuffer", state="s"))) == ["s"]
    assert list(parts_of("text")) == []
