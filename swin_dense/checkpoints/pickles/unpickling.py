"""Reading of pickles that runs nothing in them.

A pickle is a program for a small stack machine, and Python's machine calls any function that the
program names. The machine here calls only the entries of the table in `pickled_names.py`, which
build plain data; any other name stops it before anything is called. The opcodes are decoded by
`pickletools.genops`, which only parses.

`torch.load(weights_only=True)` with stand-ins for the frameworks' classes, and a `pickle.Unpickler`
for plain pickles, would not do: both hash any key, so that a nested tuple as a key ends the process
or hangs it; `torch.FloatTensor` and `bytearray`, which torch always allows, take memory of a
declared size, as the storages of older files do; with `mmap`, a storage that is declared too large
is read on into its neighbours; and a huge memo index fills the memory of `pickle.Unpickler`.
"""

import pickletools
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from swin_dense.checkpoints.pickles.pickled_names import (
    build_storage,
    call,
    find_name,
    hashable,
    set_items,
    set_state,
)
from swin_dense.checkpoints.pickles.pickled_values import PickleFault

_MAX_REASON = 120  # characters of the decoder's complaint that an error message repeats
# Values that calls may copy: some, and so many for each byte of the pickle. Real ones copy at most
# two a byte; a pickle that passes one long list to many calls would fill the memory.
_FREE_COPIES, _COPIES_PER_BYTE = 1 << 20, 8

_MARK = object()
_MISSING = object()
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def unpickle(stream: BinaryIO) -> object:
    """The object that the pickle at the stream's position describes; the stream is left behind it.

    Raises:
        PickleFault: the pickle is cut short or damaged, or names something that is not known here.
    """
    machine = _Machine()
    start = stream.tell()
    for opcode, argument in _operations(stream):
        try:
            machine.num_bytes = stream.tell() - start
            if machine.step(opcode, argument):
                return machine.result()
        except PickleFault:
            raise
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise PickleFault(f"damaged pickle ({opcode}: {error})") from error
    raise PickleFault("truncated pickle: it has no end mark")


def _operations(stream: BinaryIO) -> Iterator[tuple[str, object]]:
    """The decoded opcodes; a complaint of the decoder becomes a `PickleFault`."""
    operations = pickletools.genops(stream)
    while True:
        try:
            opcode, argument, _ = next(operations)
        except StopIteration:
            return
        except (ValueError, OverflowError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            cut = "exhausted" in reason or "remain" in reason or "not enough data" in reason
            what = "truncated" if cut else "damaged"
            raise PickleFault(f"{what} pickle ({reason[:_MAX_REASON]})") from error
        yield opcode.name, argument


class _Machine:
    """The stack machine; one method per group of opcodes.

    Attributes:
        num_bytes: length of the pickle so far.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self._num_copies = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        return self._pop()

    def step(self, opcode: str, argument: object) -> bool:
        """Carry out one opcode; true when it was the last one."""
        if opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode]())
        elif opcode in ("PROTO", "FRAME"):
            pass
        elif opcode == "STOP":
            return True
        else:
            handler = getattr(self, f"_do_{opcode.lower()}", None)
            if handler is None:
                raise PickleFault(f"the pickle uses {opcode}, which no checkpoint needs")
            handler(argument)
        return False

    # -- stack and memo

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleFault("damaged pickle (it takes more from its stack than it put there)")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[object]:
        for start in range(len(self._stack) - 1, -1, -1):
            if self._stack[start] is _MARK:
                items = self._stack[start + 1 :]
                del self._stack[start:]
                return items
        raise PickleFault("damaged pickle (a mark is missing)")

    def _top(self) -> object:
        value = self._pop()
        self._stack.append(value)
        return value

    def _do_mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def _do_pop(self, _: object) -> None:
        if not self._stack:
            raise PickleFault("damaged pickle (its stack is empty)")
        self._stack.pop()

    def _do_pop_mark(self, _: object) -> None:
        self._pop_to_mark()

    def _do_dup(self, _: object) -> None:
        self._stack.append(self._top())

    def _do_memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def _do_put(self, index: object) -> None:
        assert isinstance(index, int)
        self._memo[index] = self._top()

    _do_binput = _do_long_binput = _do_put

    def _do_get(self, index: object) -> None:
        assert isinstance(index, int)
        value = self._memo.get(index, _MISSING)
        if value is _MISSING:
            raise PickleFault(f"damaged pickle (its memo has no entry {index})")
        self._stack.append(value)

    _do_binget = _do_long_binget = _do_get

    # -- containers

    def _do_tuple(self, _: object) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _do_tuple1(self, _: object) -> None:
        self._stack.append((self._pop(),))

    def _do_tuple2(self, _: object) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _do_tuple3(self, _: object) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _do_list(self, _: object) -> None:
        self._stack.append(self._pop_to_mark())

    def _do_frozenset(self, _: object) -> None:
        self._stack.append(frozenset(hashable(item) for item in self._pop_to_mark()))

    def _do_dict(self, _: object) -> None:
        content: dict[object, object] = {}
        set_items(content, self._pop_to_mark())
        self._stack.append(content)

    def _do_append(self, _: object) -> None:
        self._extend([self._pop()])

    def _do_appends(self, _: object) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise PickleFault("damaged pickle (it appends to what is not a list)")
        target.extend(items)

    def _do_additems(self, _: object) -> None:
        items = self._pop_to_mark()
        target = self._top()
        if not isinstance(target, set):
            raise PickleFault("damaged pickle (it adds to what is not a set)")
        target.update(hashable(item) for item in items)

    def _do_setitem(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        set_items(self._top(), [key, value])

    def _do_setitems(self, _: object) -> None:
        items = self._pop_to_mark()
        set_items(self._top(), items)

    # -- names, calls, state

    def _count_copies(self, values: Sequence[object]) -> None:
        """Count the values that a call with these arguments may copy, and stop at too many."""
        lengths = (len(value) for value in values if isinstance(value, _SIZED))
        self._num_copies += len(values) + sum(lengths)
        if self._num_copies > _FREE_COPIES + _COPIES_PER_BYTE * self.num_bytes:
            raise PickleFault("damaged pickle (it copies the same values again and again)")

    def _do_global(self, argument: object) -> None:
        assert isinstance(argument, str)
        module, _, name = argument.partition(" ")
        self._stack.append(find_name(module, name))

    def _do_stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleFault("damaged pickle (a name is not text)")
        self._stack.append(find_name(module, name))

    def _do_inst(self, argument: object) -> None:
        assert isinstance(argument, str)
        arguments = self._pop_to_mark()
        module, _, name = argument.partition(" ")
        self._call(find_name(module, name), arguments)

    def _do_obj(self, _: object) -> None:
        items = self._pop_to_mark()
        if not items:
            raise PickleFault("damaged pickle (an object without a class)")
        self._call(items[0], items[1:])

    def _do_reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise PickleFault("damaged pickle (a call's arguments are not a tuple)")
        self._call(function, arguments)

    _do_newobj = _do_reduce

    def _call(self, function: object, arguments: Sequence[object]) -> None:
        self._count_copies(arguments)
        self._stack.append(call(function, arguments))

    def _do_newobj_ex(self, _: object) -> None:
        if self._pop() != {}:
            raise PickleFault("the pickle builds an object with named arguments")
        self._do_reduce(None)

    def _do_build(self, _: object) -> None:
        state = self._pop()
        self._count_copies(state if isinstance(state, tuple) else (state,))
        set_state(self._top(), state)

    def _do_binpersid(self, _: object) -> None:
        self._stack.append(build_storage(self._pop()))


_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
