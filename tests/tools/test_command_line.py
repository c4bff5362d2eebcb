"""Words of a command line: values as their flags read them, help in paragraphs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import tyro

from swin_dense.tools.command_line import join_help_lines, parse_flags, parse_value
from swin_dense.tools.flags import Switch


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("1e-3", float, 0.001),
        ("-1", int, -1),
        ("None", float | None, None),
        ("a b", Path, Path("a b")),
        ("256 224", tuple[int, int], (256, 224)),
        ("1 2 3", tuple[int, ...] | None, (1, 2, 3)),
        ("true", bool, True),
        ("False", bool, False),
        ("none", Switch, None),
        ("relu", Literal["gelu", "relu"], "relu"),
    ],
)
def test_a_value_is_read_as_its_flag_reads_it(text: str, hint: Any, value: Any) -> None:
    read = parse_value("field", text, hint)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "message"),
    [
        ("fast", float, "lr must be float, got 'fast'"),
        ("yes", bool, "lr must be bool, got 'yes'"),
        ("1", tuple[int, int], r"lr must be \(int, int\), got '1'"),
        ("tanh", Literal["gelu", "relu"], "lr must be 'gelu' or 'relu', got 'tanh'"),
    ],
)
def test_a_value_of_another_type_is_refused(text: str, hint: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_value("lr", text, hint)


@dataclass(frozen=True, kw_only=True)
class _Config:
    width: int = 1
    """A width that the source explains
    in two lines."""


@dataclass(frozen=True, kw_only=True)
class _Long:
    """A command."""

    is_long: bool = False
    """A text that goes on
    in a second line."""
    config: _Config = field(default_factory=_Config)


def test_help_is_one_paragraph_also_of_inner_configs(capsys: pytest.CaptureFixture[str]) -> None:
    join_help_lines(_Long, _Long())
    with pytest.raises(SystemExit):
        tyro.cli(_Long, args=["--help"])
    printed = capsys.readouterr().out
    assert "A text that goes on in a second line." in " ".join(printed.replace("│", " ").split())
    assert "A width that the source explains in" in " ".join(printed.replace("│", " ").split())
    assert not any(line.rstrip("│ ").endswith("goes on") for line in printed.splitlines())


def test_a_complaint_is_one_line_with_the_way_to_the_help() -> None:
    assert parse_flags(_Long, "swin-dense work", ["--is-long"]) == _Long(is_long=True)
    with pytest.raises(ValueError, match=r"^[^\n]*--no-such[^\n]*\(see swin-dense work --help\)$"):
        parse_flags(_Long, "swin-dense work", ["--no-such"])
