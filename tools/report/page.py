"""The parts of an HTML page that is one file: text, tables, figures, bars, pictures.

Nothing is fetched, and nothing runs but a script that the page is written with: the page forbids
both itself, by its content security policy.
"""

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from swin_dense.tools.files import atomic_write
from swin_dense.tools.printable import printable
from swin_dense.tools.report.style import STYLE, themed

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page that folds, and has an entry in the list of contents.

    Attributes:
        title: plain text.
        blocks: what the functions below, and those of the charts, give; or sections of its own.
    """

    title: str
    blocks: Sequence["str | Section"]


def write_page(
    path: Path,
    title: str,
    blocks: Sequence[str | Section],
    *,
    style: str = "",
    script: str = "",
) -> None:
    """Write blocks of HTML under a title as one page, beside its final name and renamed.

    Sections are listed beside the page, or above it where the window is narrow.
    Control characters and marks for the order of letters, wherever they come from, are escaped.

    Args:
        path: the file.
        title: plain text.
        blocks: sections, and what the functions below and those of the charts give.
        style: rules behind those of all pages.
        script: runs when the page is there; none other does. Printable ASCII.
    """
    name = html.escape(title)
    entries, content = _lay_out(blocks, "")
    contents = f'<nav aria-label="Contents"><ul>{entries}</ul></nav>\n' if entries else ""
    policy, running = _POLICY, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"{_POLICY}; script-src 'sha256-{digest}'"
        running = f"<script>{script}</script>\n"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f"{contents}<main>\n<h1>{name}</h1>\n{content}\n{running}</main>\n</body>\n</html>\n"
    )
    atomic_write(path, "\n".join(map(printable, page.split("\n"))))


def _lay_out(blocks: Sequence[str | Section], prefix: str) -> tuple[str, str]:
    """Entries of the list of contents, and the blocks themselves.

    Places are numbered, so that sections of one title have different ones.
    """
    entries, content = [], []
    for place, block in enumerate(blocks):
        if isinstance(block, str):
            content.append(block)
            continue
        identity, name = f"section-{prefix}{place}", html.escape(block.title)
        inner_entries, inner = _lay_out(block.blocks, f"{prefix}{place}-")
        kind, level = (" group", 1) if inner_entries else ("", 2)
        content.append(
            f'<details class="section{kind}" id="{identity}" open>'
            f"<summary>{heading(block.title, level=level)}</summary>\n{inner}\n</details>"
        )
        inner_list = f"<ul>{inner_entries}</ul>" if inner_entries else ""
        entries.append(f'<li><a class="entry{kind}" href="#{identity}">{name}</a>{inner_list}</li>')
    return "".join(entries), "\n".join(content)


def heading(text: str, *, level: int = 2) -> str:
    """A section's title."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str, *, kind: str = "") -> str:
    """Plain text; `kind` is "", "muted" or "note"."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> str:
    """A table; its first `num_texts` columns, 1 or 2, are words, the others numbers."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    kind = ' class="words"' if num_texts == 2 else ""
    return (
        f'<div class="scroll"><table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def row(*blocks: str) -> str:
    """Blocks beside each other where the window is wide enough, else below each other."""
    return '<div class="row">\n' + "\n".join(f"<div>{block}</div>" for block in blocks) + "\n</div>"


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Large numbers: name, number, and a remark."""
    items = "".join(
        f'<div class="tile"><span class="label">{html.escape(name)}</span>'
        f"<b>{html.escape(number)}</b><span>{html.escape(remark)}</span></div>"
        for name, number, remark in figures
    )
    return f'<div class="tiles">{items}</div>'


def picture(path: Path, caption: str) -> str:
    """A JPEG file inside the page, which opens large; where it is gone the caption has a note.

    The file is in the page once: a click changes the size of the one picture.
    """
    text = html.escape(caption)
    try:
        source = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return f"<figure><figcaption>{text} (the picture is missing)</figcaption></figure>"
    return (
        f'<details class="picture"><summary><img src="data:image/jpeg;base64,{source}" '
        f'alt="{text}"><span>{text}</span></summary></details>'
    )


def pictures(figures: Sequence[str]) -> str:
    """Small pictures in as many columns as fit."""
    return '<div class="pictures">\n' + "\n".join(figures) + "\n</div>"


def details(summary: str, *blocks: str) -> str:
    """Blocks that open by a click."""
    content = "\n".join(blocks)
    return f'<details class="more"><summary>{html.escape(summary)}</summary>\n{content}\n</details>'


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A row of bars.

    Attributes:
        name: of the row.
        spans: from and to of each bar, as shares of the track, and its colour; None is an empty
            place. The second bar is paler than the first.
        value: the numbers, to be read.
        count: what stands last.
        remark: more, where the pointer rests on the name.
    """

    name: str
    spans: Sequence[tuple[float, float, str] | None]
    value: str
    count: str
    remark: str = ""


def bars(rows: Sequence[Bar]) -> str:
    """Rows of horizontal bars in as many columns as fit, from top to bottom."""
    lines = []
    for bar in rows:
        drawn = "".join(
            f'<i{kind} style="left:{100 * span[0]:.1f}%;width:{100 * (span[1] - span[0]):.1f}%;'
            f'background:{themed(span[2])}"></i>'
            if span
            else "<i></i>"
            for span, kind in zip(bar.spans, chain([""], repeat(' class="second"')), strict=False)
        )
        name = html.escape(bar.name)
        title = html.escape(f"{bar.name}, {bar.remark}" if bar.remark else bar.name)
        lines.append(
            f'<div><span class="name" title="{title}">{name}</span>'
            f'<span class="track">{drawn}</span>'
            f'<span class="value">{html.escape(bar.value)}</span>'
            f'<span class="count">{html.escape(bar.count)}</span></div>'
        )
    return '<div class="bars">\n' + "\n".join(lines) + "\n</div>"


def legend(names: Sequence[tuple[str, str, str]]) -> str:
    """A legend: name, colour, and "", "dashed" or "faint"."""
    return (
        '<div class="legend">'
        + "".join(
            f'<span class="{kind}" style="--c:{themed(colour)}">{html.escape(name)}</span>'
            for name, colour, kind in names
        )
        + "</div>"
    )
