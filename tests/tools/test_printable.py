"""Text from files on its way to a terminal or a page."""

import io
from pathlib import Path

import pytest
from rich.table import Table

from swin_dense.tools import cli
from swin_dense.tools.console import Console
from swin_dense.tools.printable import printable, write_line
from swin_dense.tools.report.page import paragraph, write_page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("gpj\u202eexe\u2066\u200f\u061c", r"gpj\u202eexe\u2066\u200f\u061c"),
        ("half \ud800", r"half \ud800"),
        ("\x9b\x7f\u2028\U000e0041", r"\x9b\x7f\u2028\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_is_shown_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_letters_of_every_script_stay() -> None:
    text = "Straße 東京 \u0645\u06cc\u200c\u062e 👩\u200d🚒 \u00a0 C:\\temp"
    assert printable(text) == text


def test_a_line_stays_one_line() -> None:
    stream = io.StringIO()
    write_line("a\nb", stream)
    assert stream.getvalue() == "a\\nb\n"


def test_names_in_a_table_are_neither_markup_nor_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("class")
    for name in ("[red]cat[/red]", "[/nothing]", ":dog:", "\x1b[2Jcow"):
        table.add_row(name)
    Console(width=60).print(table)
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("[red]cat[/red]", "[/nothing]", ":dog:", r"\x1b[2Jcow"))
    assert "\x1b" not in shown


def test_a_page_holds_no_control_and_no_mark_for_the_order_of_letters(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", "t\u202e", [paragraph("a\x1b\ud800b")])
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert r"a\x1b\ud800b" in page
    assert r"<h1>t\u202e</h1>" in page
    assert all(printable(line) == line for line in page.split("\n"))


def test_an_error_shows_hostile_names_escaped_and_is_not_endless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["\x1b[31m" + "x" * 100_000]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(r"error: unknown command '\x1b[31mxxx")
    assert "letters left out" in shown
    assert len(shown) < 5000
