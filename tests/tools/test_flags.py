"""Flags from Python: names and types are checked, nested fields have dotted names."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro

from swin_dense.tools.flags import (
    document_flags,
    list_fields,
    make_options,
    replace_fields,
)


@dataclass(frozen=True, kw_only=True)
class _Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class _OtherInner(_Inner):
    depth: int = 3


@dataclass(frozen=True, kw_only=True)
class _Options:
    file: Annotated[Path, tyro.conf.Positional]
    pair: tuple[int, int] | None = None
    kind: Literal["a", "b"] = "a"
    is_on: bool = False
    count: int = 1
    name: Annotated[str, tyro.conf.Suppress] = ""
    inner: _Inner = field(default_factory=_Inner)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"--count must be at least 1, got {self.count}")


def test_strings_become_paths_and_lists_tuples() -> None:
    made = make_options(_Options, {"file": "a/b", "pair": [1, 2], "kind": "b"})
    assert made == _Options(file=Path("a/b"), pair=(1, 2), kind="b")
    assert make_options(_Options, {"file": Path("a"), "pair": None}) == _Options(file=Path("a"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "file must be given, got none"),
        ({"fil": "a"}, "unknown field 'fil'; near it are file"),
        ({"file": "a", "zzz": 1}, "unknown field 'zzz'; choose one of file, pair, kind"),
        ({"file": 1}, "file must be a path, got 1"),
        ({"file": "a", "pair": [1]}, r"pair must be \(int, int\) or None, got \[1\]"),
        ({"file": "a", "pair": 3}, r"pair must be \(int, int\) or None, got 3"),
        ({"file": "a", "pair": "12"}, r"pair must be \(int, int\) or None, got '12'"),
        ({"file": "a", "kind": "c"}, "kind must be 'a' or 'b', got 'c'"),
        ({"file": "a", "is_on": 1}, "is_on must be bool, got 1"),
        ({"file": "a", "count": True}, "count must be int, got True"),
        ({"file": "a", "count": 1.5}, "count must be int, got 1.5"),
        ({"file": "a", "count": 0}, "--count must be at least 1, got 0"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_options(_Options, values)


def test_fields_in_fields_have_dotted_names() -> None:
    options = _Options(file=Path("a"))
    changed = replace_fields(options, {"inner.rate": 1, "inner.sizes": [4], "count": 2})
    assert changed == _Options(file=Path("a"), count=2, inner=_Inner(rate=1.0, sizes=(4,)))
    assert isinstance(changed.inner.rate, float)
    assert replace_fields(options, {}) == options


def test_a_whole_config_can_be_put_in_place_and_changed_at_once() -> None:
    options = _Options(file=Path("a"))
    changed = replace_fields(options, {"inner": _OtherInner(), "inner.rate": 0.25})
    assert changed.inner == _OtherInner(rate=0.25)
    assert "inner.depth" in list_fields(changed)
    assert "inner.depth" not in list_fields(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner.rat": 1}, "unknown field 'inner.rat'; near it are inner.rate"),
        ({"rate": 1}, "unknown field 'rate'; near it are inner.rate"),
        ({"name": "b"}, "unknown field 'name'"),
        ({"inner.rate": "fast"}, "inner.rate must be float, got 'fast'"),
        ({"inner": 3}, "inner must be _Inner, got 3"),
        ({"inner.sizes": [1.5]}, r"inner.sizes must be a list of int, got \[1.5\]"),
    ],
)
def test_changes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace_fields(_Options(file=Path("a")), changes)


def test_flags_are_in_the_signature_with_their_defaults() -> None:
    @document_flags(_Options, without=["inner"])
    def work(file: str, **flags: Any) -> dict[str, Any]:
        return flags

    parameters = inspect.signature(work).parameters
    assert list(parameters) == ["file", "pair", "kind", "is_on", "count", "name"]
    assert parameters["file"].annotation is str
    assert parameters["kind"].default == "a"
    assert parameters["kind"].kind is inspect.Parameter.KEYWORD_ONLY
    assert work("a", kind="b") == {"kind": "b"}


def test_urls_are_refused_where_paths_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"^https://a.b/c.jpg is a URL, which is not fetched"):
        make_options(_Options, {"file": "https://a.b/c.jpg"})
