"""Flags of a command from Python: keywords, and dotted names of nested fields, checked.

A command's frozen dataclass `Options` defines each flag, its default and its help once. The command
line makes it from words, the functions here from values.
"""

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from swin_dense.tools.files import refuse_url

_MOST_NAMED = 5
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_SWITCH = {"true": True, "false": False, "none": None}


def _read_switch(words: list[str]) -> bool | None:
    """True, False or None of a flag's word, in capitals or not."""
    if words[0].lower() not in _SWITCH:
        raise ValueError(f"must be true, false or none, got {words[0]}")
    return _SWITCH[words[0].lower()]


# A flag that is true or false, or None where the data decide.
Switch = Annotated[
    bool | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{true,false,none}",
        instance_from_str=_read_switch,
        is_instance=lambda value: value is None or isinstance(value, bool),
        str_from_instance=lambda value: [str(value).lower()],
    ),
]


def make_options(kind: type[T], values: Mapping[str, Any]) -> T:
    """A command's options from keywords.

    Args:
        kind: a dataclass.
        values: by the names of its fields; a path may be a string, a tuple a list.

    Raises:
        ValueError: a name is not known, a value is of another type, or a field without a default
            is missing.
    """
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        check_name(name, fields)
    needed = [name for name, field in fields.items() if _has_no_default(field)]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given, got {', '.join(values) or 'none'}")
    return kind(**{name: check_value(name, value, hints[name]) for name, value in values.items()})


def replace_fields(config: T, changes: Mapping[str, Any], *, path: str = "") -> T:
    """The config with other values in fields of it, or of the configs in it.

    Args:
        config: a dataclass, such as a recipe.
        changes: values by dotted names: `{"data.root": "my_data", "optimizer.lr": 1e-4}`; a path
            may be a string, a tuple a list.
        path: of the config in another, with a dot behind it, for messages.

    Raises:
        ValueError: a name is not known, or a value is of another type or not allowed.
    """
    hints = list_fields(config)
    inner: dict[str, dict[str, Any]] = {}
    values = {}
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if name not in hints:
            check_name(name, hints)
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            values[name] = check_value(f"{path}{name}", value, hints[name])
    for head, others in inner.items():
        changed = values.get(head, getattr(config, head))
        values[head] = replace_fields(changed, others, path=f"{path}{head}.")
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def list_fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """Type of each field of a config and of the configs in it, by dotted name.

    Fields that are no flags (`tyro.conf.Suppress`) are left out.
    """
    hints = get_type_hints(type(config), include_extras=True)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        hint, value = hints[field.name], getattr(config, field.name)
        if tyro.conf.Suppress in getattr(hint, "__metadata__", ()):
            continue
        found[f"{prefix}{field.name}"] = hint
        if dataclasses.is_dataclass(value):
            found |= list_fields(value, f"{prefix}{field.name}.")
    return found


def check_name(name: str, known: Iterable[str]) -> None:
    """See that a field is known.

    Raises:
        ValueError: it is not; those near it are named.
    """
    names = list(known)
    if name in names:
        return
    last = name.rpartition(".")[2]
    near = get_close_matches(name, names, n=_MOST_NAMED, cutoff=0.6)
    near += [other for other in names if other.rpartition(".")[2] == last and other not in near]
    if near:
        raise ValueError(f"unknown field {name!r}; near it are {', '.join(near[:_MOST_NAMED])}")
    short = [other for other in names if "." not in other]
    raise ValueError(f"unknown field {name!r}; choose one of {', '.join(short)}")


def check_value(name: str, value: Any, hint: Any) -> Any:
    """The value as a field of that type holds it: a string becomes a path, a list a tuple.

    Raises:
        ValueError: it is of another type.
    """
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, str | PathLike):
            refuse_url(str(fspath(item)))
    try:
        return _convert(value, hint)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {describe_type(hint)}, got {value!r}") from error


def describe_type(hint: Any) -> str:
    """The type in words: `'auto', 'cpu' or 'cuda'`, `int or None`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe_type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin is tuple:
        if arguments[1:] == (...,):
            return f"a list of {describe_type(arguments[0])}"
        return f"({', '.join(describe_type(argument) for argument in arguments)})"
    if hint is type(None):
        return "None"
    return "a path" if hint is Path else getattr(hint, "__name__", str(hint))


def document_flags(kind: type, *, without: Iterable[str] = ()) -> Callable[[F], F]:
    """Decorator: show a function's `**flags` as the keywords that they are, with their defaults.

    Args:
        kind: the dataclass of the flags.
        without: fields that the function takes by itself.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        plain = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        taken = {parameter.name for parameter in plain} | set(without)
        hints = get_type_hints(kind)
        flags = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if _has_no_default(field) else field.default,
                annotation=hints[field.name],
            )
            for field in dataclasses.fields(kind)
            if field.name not in taken
        ]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*plain, *flags]
        )
        return function

    return decorate


def _has_no_default(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _convert(value: Any, hint: Any) -> Any:
    """The value in the form of the type; TypeError where it does not fit."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or getattr(hint, "_is_protocol", False):
        return value
    if origin is Annotated:
        return _convert(value, arguments[0])
    if origin in (Union, types.UnionType):
        return _convert_to_any(value, arguments)
    if origin is Literal:
        return _keep(value, value in arguments)
    if origin is tuple:
        return _convert_to_tuple(value, arguments)
    if hint is None or hint is type(None):
        return _keep(value, value is None)
    if hint is Path:
        return Path(fspath(value)) if isinstance(value, str | PathLike) else _keep(value, False)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_keep(value, is_number))
    if hint is int:
        return _keep(value, isinstance(value, int) and not isinstance(value, bool))
    return _keep(value, isinstance(value, origin or hint))


def _convert_to_any(value: Any, hints: Iterable[Any]) -> Any:
    """The value in the form of the first type that it fits."""
    for hint in hints:
        try:
            return _convert(value, hint)
        except TypeError:
            continue
    return _keep(value, False)


def _convert_to_tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    items = tuple(_keep(value, isinstance(value, list | tuple)))
    if hints[1:] == (...,):
        hints = (hints[0],) * len(items)
    _keep(value, len(items) == len(hints))
    return tuple(_convert(item, hint) for item, hint in zip(items, hints, strict=True))


def _keep(value: Any, fits: bool) -> Any:
    if not fits:
        raise TypeError(type(value).__name__)
    return value
