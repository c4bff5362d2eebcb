"""Configs from the JSON that files store, with every name and type checked."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from swin_dense.configs import BACKBONE_KINDS, BackboneConfig, SwinConfig


def config_as_json(config: Any) -> dict[str, Any]:
    """The values of a config dataclass by field, as JSON has them.

    A backbone's have its `kind` besides, unless it is a Swin Transformer.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        values[field.name] = config_as_json(value) if dataclasses.is_dataclass(value) else value
    if isinstance(config, BackboneConfig) and not isinstance(config, SwinConfig):
        values["kind"] = config.kind
    return values


def build_config(cls: type, stored: Mapping[str, object], *, where: str) -> object:
    """Build a config dataclass from its JSON; lists become tuples.

    Args:
        cls: the dataclass; its fields may be dataclasses too.
        stored: values by field.
        where: what to call it in errors.

    Raises:
        ValueError: a name is unknown or absent, or a value is not what the field's annotation says.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(stored) - names)
    if unknown:
        raise ValueError(
            f"{where} has the unknown {unknown[0]!r}; was it written by a newer version?"
        )
    values = {}
    for name, value in stored.items():
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, dict):
            kind = typing.cast(type, hints[name])
            if kind is BackboneConfig:
                kind, value = _find_kind(value, where=f"{where}.{name}")
            values[name] = build_config(kind, value, where=f"{where}.{name}")
        else:
            values[name] = _tuples(value)
            if not has_type(values[name], hints[name]):
                hint = hints[name]
                wanted = hint.__name__ if isinstance(hint, type) else hint
                if typing.get_origin(hint) is typing.Literal:
                    wanted = f"one of {', '.join(map(str, typing.get_args(hint)))}"
                raise ValueError(f"{where}.{name} must be {wanted}, got {value!r}")
    required = {field.name for field in dataclasses.fields(cls) if _is_required(field)}
    if absent := sorted(required - set(values)):
        raise ValueError(f"{where} must have {absent[0]!r}")
    return cls(**values)


def build_backbone_config(stored: Mapping[str, object], *, where: str) -> BackboneConfig:
    """Build the config of a backbone of any kind; see `build_config`."""
    kind, values = _find_kind(stored, where=where)
    return typing.cast(BackboneConfig, build_config(kind, values, where=where))


def _find_kind(
    stored: Mapping[str, object], *, where: str
) -> tuple[type[BackboneConfig], dict[str, object]]:
    """Class of a stored backbone's config, and its values without the name of the class."""
    values = dict(stored)
    kind = values.pop("kind", SwinConfig.kind)
    if not isinstance(kind, str) or kind not in BACKBONE_KINDS:
        raise ValueError(
            f"{where} is of the unknown kind {str(kind)[:40]!r}; known are "
            f"{', '.join(BACKBONE_KINDS)}"
        )
    return BACKBONE_KINDS[kind], values


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _tuples(value: object) -> object:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def has_type(value: object, hint: object) -> bool:
    """Tell whether a plain value has the type of a config's annotation."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(has_type(value, part) for part in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(has_type(part, inner) for part in value)
    if hint is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return abs(value) < math.inf  # nor nan; JSON knows both
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else False
