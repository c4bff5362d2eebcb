"""The names in checkpoints' pickles, and the plain data that each stands for; never code.

The table at the end lists every name that may occur. Tensors become records (`TensorRecord`) that
say where their values lie; the values themselves are not touched. Objects of training frameworks
become dicts or `Inert`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from swin_dense.checkpoints.pickles.pickled_values import (
    ArrayRecord,
    Inert,
    PickleFault,
    StorageRecord,
    TensorRecord,
    brief,
)

_MAX_RANK = 32
_MAX_NAME = 120  # characters of a foreign name that an error message repeats
_MAX_TEXT = 4096  # characters of a path; joined to itself again and again it would fill the memory
_MAX_KEY = 2**60  # up to here an integer is its own hash; larger ones can be made to collide


@dataclass
class _DType:
    """A NumPy data type under construction."""

    code: str
    order: str = "<"

    def __str__(self) -> str:
        return self.code if self.code[-1] == "1" or self.code == "?" else self.order + self.code


class _Attributes(dict[object, object]):
    """An object whose attributes are its content, such as `argparse.Namespace`."""


@dataclass(frozen=True)
class _Global:
    """A name of the table; `build` makes plain data from the arguments."""

    name: str
    build: Callable[..., object]


def find_name(module: str, name: str) -> _Global:
    known = _GLOBALS.get((module, name))
    if known is None:
        full_name = f"{module}.{name}"[:_MAX_NAME]
        raise PickleFault(
            f"refused: the pickle names {full_name!r}, which is none of the plain containers of "
            "checkpoints; nothing was run"
        )
    return known


def call(function: object, arguments: Sequence[object]) -> object:
    if not isinstance(function, _Global):
        raise PickleFault(f"damaged pickle (it calls a {type(function).__name__})")
    return function.build(*arguments)


def hashable(key: object) -> object:
    """The key, if hashing it is cheap and nobody can choose keys that collide.

    A nested tuple would overflow the C stack or, where it holds the same tuple many times, take
    for ever. Python seeds the hashes of text and bytes, not those of numbers: large integers and
    tuples of numbers can be made to share one hash, and a dict of them takes quadratic time.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if all(isinstance(part, str | bytes | None) for part in parts):
        return key
    if isinstance(key, float) or (isinstance(key, int) and abs(key) < _MAX_KEY):
        return key
    raise PickleFault(f"damaged pickle ({brief(key)} as a key)")


def set_items(target: object, items: list[object]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise PickleFault("damaged pickle (it sets items of what is not a dict)")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[hashable(key)] = value


def set_state(target: object, state: object) -> None:
    """Set the state of an object that the table builds, in place of its class's `__setstate__`."""
    if isinstance(target, _Attributes):
        if not isinstance(state, dict):
            raise PickleFault("damaged pickle (an object's attributes are not a dict)")
        target.update(state)
    elif isinstance(target, ArrayRecord):
        _set_array_state(target, state)
    elif isinstance(target, _DType):
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise PickleFault("damaged pickle (state of a NumPy data type)")
        target.order = str(state[1])
    elif isinstance(target, Inert):
        target.state = state
    elif not isinstance(target, dict):  # a dict's attributes (`_metadata`) are of no use here
        raise PickleFault(f"damaged pickle (it sets the state of a {type(target).__name__})")


def _set_array_state(array: ArrayRecord, state: object) -> None:
    if not isinstance(state, tuple) or len(state) != 5:
        raise PickleFault("damaged pickle (state of a NumPy array)")
    _, shape, dtype, column_major, values = state
    if isinstance(values, list) or (isinstance(dtype, _DType) and dtype.code.startswith("O")):
        return  # an array of objects: stays without values, which `to_numpy` reports
    if isinstance(values, str):
        values = values.encode("latin1")  # Python 2 wrote byte strings
    if not isinstance(values, bytes | bytearray) or not isinstance(dtype, _DType):
        raise PickleFault("damaged pickle (values of a NumPy array)")
    array.shape = _sizes(shape)
    array.dtype, array.values, array.column_major = str(dtype), bytes(values), bool(column_major)


# ------------------------------------------------------------------ builders of the known names


def build_storage(identity: object) -> StorageRecord:
    """A persistent id of torch: `("storage", type, key, location, num_values[, view])`."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise PickleFault("damaged pickle (a persistent id that is not torch's)")
    _, kind, key, _, num_values, *view = identity
    if not isinstance(kind, _Global) or kind.name not in _STORAGE_DTYPES:
        raise PickleFault("damaged pickle (a storage of unknown type)")
    if not _is_count(num_values):
        raise PickleFault(f"damaged pickle ({brief(num_values)} as the size of a storage)")
    dtype = _STORAGE_DTYPES[kind.name]
    root = storage_key(key)
    if not view or view[0] is None:
        return StorageRecord(root, dtype, num_values, root, 0)
    view_key, offset, view_size = view[0]
    if not _is_count(offset) or not _is_count(view_size) or offset + view_size > num_values:
        raise PickleFault(f"damaged pickle (storage {root} has a part that is larger than it)")
    return StorageRecord(storage_key(view_key), dtype, view_size, root, offset)


def storage_key(key: object) -> str:
    """The key of a storage, as text: torch writes text or, before 1.6, an address."""
    if isinstance(key, str) or (isinstance(key, int) and abs(key) < _MAX_KEY):
        return str(key)
    raise PickleFault(f"damaged pickle ({brief(key)} as the key of a storage)")


def _tensor(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    requires_grad: object = False,
    hooks: object = None,
    marks: object = None,
) -> object:
    """`torch._utils._rebuild_tensor_v2`, as a record whose bounds are checked.

    `marks`: the values are to be negated or conjugated.
    """
    if marks:
        flags = isinstance(marks, dict) and all(isinstance(flag, bool) for flag in marks.values())
        shown = str(marks)[:_MAX_NAME] if flags else brief(marks)
        raise PickleFault(f"a tensor is stored with {shown}; save a plain copy")
    sizes, strides = _sizes(size), _sizes(stride)
    if not isinstance(storage, StorageRecord) or not _is_count(offset):
        raise PickleFault("damaged pickle (a tensor without storage)")
    assert isinstance(offset, int)
    if len(sizes) != len(strides):
        raise PickleFault(f"damaged pickle (a tensor of size {sizes} and stride {strides})")
    num_values, last = 1, offset
    for extent, step in zip(sizes, strides, strict=True):
        num_values *= extent
        last += (extent - 1) * step
    if num_values > storage.num_values or (num_values and last >= storage.num_values):
        raise PickleFault(
            f"a tensor of size {sizes} in a storage of {storage.num_values} values: the pickle is "
            "damaged, or the tensor was expanded (save a contiguous copy)"
        )
    return TensorRecord(storage, offset, sizes, strides)


def _untyped_tensor(storage: object, offset: object, size: object, stride: object) -> object:
    return _tensor(storage, offset, size, stride)


def _parameter(value: object, *_: object) -> object:
    if not isinstance(value, TensorRecord):
        raise PickleFault("damaged pickle (a parameter without a tensor)")
    return value


def _array(*_: object) -> ArrayRecord:
    return ArrayRecord()


def _array_from_buffer(values: object, dtype: object, shape: object, order: object) -> ArrayRecord:
    """`numpy._core.numeric._frombuffer`, the form of pickle protocol 5."""
    array = ArrayRecord()
    _set_array_state(array, (1, shape, dtype, order == "F", values))
    return array


def _dtype(code: object, *_: object) -> _DType:
    if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?([biufcSUOV?]\d{0,4})", code):
        raise PickleFault(f"damaged pickle (NumPy data type {brief(code)})")
    return _DType(code.lstrip("<>|="))


def _scalar(dtype: object, values: object = b"") -> object:
    if isinstance(values, str):
        values = values.encode("latin1")
    if not isinstance(dtype, _DType) or not isinstance(values, bytes) or dtype.code[0] in "OV":
        raise PickleFault("damaged pickle (a NumPy scalar)")
    return np.frombuffer(values, dtype=str(dtype))[0].item()


def _encode(text: object, encoding: object = "utf-8") -> bytes:
    """`_codecs.encode`, as Python 2's protocols write bytes; no other codec is looked up."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise PickleFault(f"refused: the pickle asks for the codec {brief(encoding)}")
    return text.encode(str(encoding))


def _method(owner: object, name: object) -> Inert:
    """`getattr`, as HistoryBuffer's pickles name that class's methods; nothing is looked up."""
    if not isinstance(owner, _Global) or "HistoryBuffer" not in owner.name:
        raise PickleFault("refused: the pickle asks for an attribute (getattr); nothing was run")
    return Inert(f"{owner.name}.{brief(name)}")


def _reconstructor(cls: object, *_: object) -> object:
    return call(cls, ())


def _mapping(*arguments: object) -> dict[object, object]:
    """A dict subclass, as a dict; `defaultdict`'s factory and an empty start are passed over."""
    content: dict[object, object] = {}
    for argument in arguments:
        if isinstance(argument, dict):
            set_items(content, [part for item in argument.items() for part in item])
        elif isinstance(argument, list):
            for pair in argument:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise PickleFault("damaged pickle (a dict's item is not a pair)")
                set_items(content, list(pair))
    return content


def _set(items: object = ()) -> set[object]:
    if not isinstance(items, list | tuple):
        raise PickleFault("damaged pickle (a set of what is not a list)")
    return {hashable(item) for item in items}


def _path(*parts: object) -> str:
    return _join("/", parts)


def _size(sizes: object = ()) -> tuple[int, ...]:
    return _sizes(sizes)


def _device(*parts: object) -> str:
    return _join(":", parts)


def _join(separator: str, parts: tuple[object, ...]) -> str:
    texts = [str(part) for part in parts if isinstance(part, str | int)]
    if sum(map(len, texts)) > _MAX_TEXT:
        raise PickleFault(f"damaged pickle (a path of more than {_MAX_TEXT} characters)")
    return separator.join(texts)


def _no_bytes() -> bytes:
    """`bytes()`, as protocols 0 to 2 write empty ones."""
    return b""


def _plain_type(*_: object) -> object:
    raise PickleFault("damaged pickle (it calls a type that stands only as a name)")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**60


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > _MAX_RANK:
        raise PickleFault("damaged pickle (a size that is not a short tuple)")
    if not all(_is_count(extent) for extent in value):
        raise PickleFault(f"damaged pickle (size {', '.join(map(brief, value))})")
    return tuple(value)


_STORAGE_DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

_BUILDERS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "builtins.dict": _mapping,
    "builtins.list": lambda items=(): list(items),
    "builtins.set": _set,
    "builtins.frozenset": lambda items=(): frozenset(_set(items)),
    "builtins.bytes": _no_bytes,
    "builtins.bytearray": lambda text="", encoding="latin1": bytearray(_encode(text, encoding)),
    "builtins.object": lambda: Inert("object"),
    "builtins.int": _plain_type,
    "builtins.float": _plain_type,
    "builtins.getattr": _method,
    "copyreg._reconstructor": _reconstructor,
    "_codecs.encode": _encode,
    "numpy.ndarray": _plain_type,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_from_buffer,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _untyped_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    **dict.fromkeys(_STORAGE_DTYPES, _plain_type),
    # what training frameworks add beside the weights
    "argparse.Namespace": _Attributes,
    "pathlib.PosixPath": _path,
    "pathlib.PurePosixPath": _path,
    "pathlib.WindowsPath": _path,
    "addict.addict.Dict": _mapping,
    "yacs.config.CfgNode": _mapping,
    "fvcore.common.config.CfgNode": _mapping,
    "detectron2.config.config.CfgNode": _mapping,
    "mmcv.utils.config.ConfigDict": _mapping,
    "mmengine.config.config.ConfigDict": _mapping,
    "mmengine.logging.history_buffer.HistoryBuffer": lambda *_: Inert("HistoryBuffer"),
}

# The same module under the name that another version of Python or NumPy writes.
_MODULE_ALIASES = {
    "builtins": ("__builtin__",),
    "copyreg": ("copy_reg",),
    "numpy.core.multiarray": ("numpy._core.multiarray",),
    "numpy.core.numeric": ("numpy._core.numeric",),
    "pathlib": ("pathlib._local",),
}


def _build_globals() -> dict[tuple[str, str], _Global]:
    table: dict[tuple[str, str], _Global] = {}
    for full_name, build in _BUILDERS.items():
        module, _, name = full_name.rpartition(".")
        for alias in (module, *_MODULE_ALIASES.get(module, ())):
            table[alias, name] = _Global(full_name, build)
    return table


_GLOBALS = _build_globals()
