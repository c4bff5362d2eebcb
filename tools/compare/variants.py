"""Variants of a training: every combination of the values of some fields of a recipe."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from swin_dense.configs import BackboneConfig
from swin_dense.tools.flags import check_name, list_fields, replace_fields
from swin_dense.tools.training.options import Options

BACKBONE = "model.backbone"

# Options of a training on a backbone, by name or config; of None on the recipe's own.
Base = Callable[[Any], Options]

# A value of a field as the field holds it: of its name, what was given, and its type.
Read = Callable[[str, Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the trainings that are compared.

    Attributes:
        values: what it has in each field that varies, as text by the field's name.
        options: of the training; seed and folder are another's business.
    """

    values: Mapping[str, str]
    options: Options

    @property
    def name(self) -> str:
        """Its values, to be read by people: "relu", of several fields "relu, swin_s"."""
        return ", ".join(self.values.values())


def make_variants(
    varied: Mapping[str, Sequence[Any]], base: Base, *, read: Read = lambda name, value, hint: value
) -> tuple[Variant, ...]:
    """Make a variant of every combination of values, the last field's changing first.

    Args:
        varied: two or more values by the name of a field of a recipe; values of "model.backbone"
            are names or configs.
        base: makes the options that all variants share.
        read: makes a value of a field from what was given; None: it is one.

    Raises:
        ValueError: a field is unknown or cannot be varied, has fewer than two values or one twice,
            or a value is not allowed.
    """
    if not varied:
        raise ValueError("--vary must name a field of the recipe and two or more values, got none")
    for name, values in varied.items():
        _check_values(name, values)
    others = [name for name in varied if name != BACKBONE]
    variants: list[Variant] = []
    for backbone in varied.get(BACKBONE, (None,)):
        options = base(backbone)
        hints = list_fields(options.recipe)
        for name in others:
            _check_field(name, options, hints)
        choices = [[read(name, value, hints[name]) for value in varied[name]] for name in others]
        for values in product(*choices):
            changes = dict(zip(others, values, strict=True))
            texts = {name: as_text(value) for name, value in changes.items()}
            if backbone is not None:
                texts[BACKBONE] = as_text(backbone)
            recipe = replace_fields(options.recipe, changes)
            variants.append(
                Variant(
                    values={name: texts[name] for name in varied},
                    options=replace(options, recipe=recipe),
                )
            )
    _check_different(variants)
    return tuple(variants)


def as_text(value: Any) -> str:
    """A value of a field as people read it; numbers of a tuple have spaces between them."""
    if isinstance(value, BackboneConfig):
        return value.title
    if isinstance(value, list | tuple):
        return " ".join(map(as_text, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _check_values(name: str, values: Any) -> None:
    if name == "seed":
        raise ValueError(
            "--vary must name another field than seed; --seeds N trains with N of them"
        )
    if isinstance(values, str | Path) or not isinstance(values, Sequence):
        raise ValueError(f"--vary {name} must have a list of values, got {values!r}")
    if len(values) < 2:
        given = ", ".join(map(as_text, values)) or "none"
        raise ValueError(f"--vary {name} must have two or more values, got {given}")


def _check_field(name: str, options: Options, hints: Mapping[str, Any]) -> None:
    check_name(name, hints)
    value: Any = options.recipe
    for part in name.split("."):
        value = getattr(value, part)
    if dataclasses.is_dataclass(value):
        inner = [other for other in hints if other.startswith(f"{name}.")]
        raise ValueError(
            f"--vary must name a field with a value, got {name}, which has fields of its own: "
            f"{', '.join(inner)}"
        )


def _check_different(variants: Sequence[Variant]) -> None:
    for one, other in _pairs(variants):
        if one.options == other.options:
            fields = " ".join(one.values)
            raise ValueError(
                f"--vary {fields} must have different values, got {one.name} and {other.name}, "
                "which are one training"
            )


def _pairs(variants: Sequence[Variant]) -> Iterator[tuple[Variant, Variant]]:
    for place, one in enumerate(variants):
        for other in variants[place + 1 :]:
            yield one, other
