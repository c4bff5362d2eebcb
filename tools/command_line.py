"""Flags of a command from the words of its command line, by tyro; each complaint is one line."""

import ast
import contextlib
import dataclasses
import inspect
import io
import textwrap
import types
from itertools import pairwise
from typing import Annotated, Any, Union, get_args, get_origin

import tyro

from swin_dense.tools.flags import describe_type


def parse_flags(kind: Any, program: str, words: list[str], default: Any = None) -> Any:
    """A command's options from the words of its command line.

    Args:
        kind: a dataclass.
        program: what stands before the words, for messages.
        words: flags and values.
        default: an instance of the dataclass with the values of flags that are not given.

    Raises:
        ValueError: what is wrong with the words, in one line.
        SystemExit: help was asked for, and is printed.
    """
    parsing = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
    if not {"-h", "--help"}.isdisjoint(words):
        join_help_lines(kind, default)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            if default is None:
                return tyro.cli(kind, prog=program, args=words, config=parsing)
            return tyro.cli(kind, prog=program, args=words, default=default, config=parsing)
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise ValueError(f"{_unboxed(complaint.getvalue())} (see {program} --help)") from None


def parse_value(name: str, text: str, hint: Any) -> Any:
    """The value of one field from a word, read as its flag reads it.

    Args:
        name: of the field, for messages.
        text: the word; of a field of several values all of them, with spaces between. true and
            false are written out.
        hint: the field's type.

    Raises:
        ValueError: it is of another type.
    """
    words = text.split() if _has_several(hint) else [text]
    if hint is bool:
        words = [text.capitalize()]
    config = (tyro.conf.Positional, tyro.conf.FlagConversionOff)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return tyro.cli(hint, args=words, config=config)
    except SystemExit:
        raise ValueError(f"{name} must be {describe_type(hint)}, got {text!r}") from None


def join_help_lines(kind: type, default: Any = None) -> None:
    """Give tyro the help of each flag as one paragraph; it would break it where the source does.

    Args:
        kind: a dataclass of flags, documented by the text below each field.
        default: an instance of it, whose configs are flags, too; None: it has no configs.
    """
    for owner in kind.__mro__:
        texts = _read_field_texts(owner)
        for field in getattr(owner, "__dataclass_fields__", {}).values():
            if field.name in texts:
                text = " ".join(texts[field.name].split())
                field.metadata = types.MappingProxyType({**field.metadata, "help": text})
    for field in dataclasses.fields(kind) if default is not None else ():
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            join_help_lines(type(value), value)


def _has_several(hint: Any) -> bool:
    """True for tuples, also where None may stand for one."""
    if get_origin(hint) in (Union, types.UnionType, Annotated):
        return any(_has_several(inner) for inner in get_args(hint))
    return get_origin(hint) is tuple


def _unboxed(text: str) -> str:
    """First message of tyro's boxes, without their borders."""
    lines = [line.strip("│ ") for line in text.splitlines() if line.startswith("│")]
    message = []
    for line in lines:
        if line.startswith("──"):
            break
        message.append(line)
    joined = " ".join(message) or text.strip()
    return joined.removeprefix("Error parsing Options: ")  # the options' checks


def _read_field_texts(kind: type) -> dict[str, str]:
    """The text below each field of a class, by the field's name; none without its source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    (definition,) = tree.body
    if not isinstance(definition, ast.ClassDef):
        return {}
    texts = {}
    for field, text in pairwise(definition.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            texts[field.target.id] = text.value.value
    return texts
