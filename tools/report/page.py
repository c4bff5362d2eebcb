"""The parts of an HTML page that is one file: text, tables, figures, bars, pictures.

Nothing is fetched and nothing runs: the page forbids both itself, by its content security policy.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swin_dense.tools.files import atomic_write
from swin_dense.tools.printable import printable

INK, MUTED, RULE = "#1d2127", "#667080", "#e2e5e9"
BLUE, ORANGE = "#2f6db5", "#d9822b"

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_COLOURS = (
    f":root {{ --ink: {INK}; --muted: {MUTED}; --rule: {RULE}; "
    f"--blue: {BLUE}; --orange: {ORANGE}; }}"
)
_STYLE = """
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif;
  color: var(--ink); background: #fff; margin: 0 auto;
  padding: 2.2rem 1.5rem 4rem; max-width: 76rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
h1 + h2 { margin-top: 1rem; }
h1:not(:first-child) { margin-top: 4rem; }
h3 { font-size: .95rem; margin: 1.4rem 0 .5rem; }
p { max-width: 46rem; margin: .4rem 0; overflow-wrap: anywhere; }
.muted, figcaption, .unit { color: var(--muted); }
.note { border-left: 3px solid var(--orange); padding-left: .8rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 1.2rem 2.6rem; margin: 1.6rem 0 0; }
.tile b { display: block; font-size: 1.9rem; line-height: 1.15; font-weight: 600; }
.tile span { display: block; font-size: .85rem; color: var(--muted); }
.tile .label { color: var(--ink); }
.tiles, table, .bars { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .22rem .9rem; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; }
th { font-weight: 600; } thead th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.words th:nth-child(2), .words td:nth-child(2) { text-align: left; }
.row { display: grid; gap: 1.6rem 2.2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.row > * { min-width: 0; }
.row + .row { margin-top: 1.6rem; }
figure { margin: 0; }
figure > img { display: block; max-width: 100%; height: auto; }
figure > svg { display: block; width: 100%; height: auto; }
figure h3 { margin: .2rem 0 .3rem; }
figure svg text { font-family: inherit !important; }
figcaption { font-size: .85rem; margin-top: .3rem; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .85rem; }
.legend span::before { content: ""; display: inline-block; width: 1.1em; margin-right: .4em;
  border-top: 3px solid var(--c); vertical-align: .25em; }
.legend .dashed::before { border-top-style: dashed; border-top-width: 2px; }
.legend .faint::before { border-top-width: 2px; }
.bars { columns: 23rem; column-gap: 2.6rem; font-size: .85rem; margin: .6rem 0; }
.bars > div { display: grid; align-items: center; gap: .6rem; padding: .12rem 0;
  grid-template-columns: minmax(0, 8.5rem) minmax(3rem, 1fr) 5.6rem 5.9rem;
  break-inside: avoid; }
.bars .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bars .value, .bars .count { text-align: right; white-space: nowrap; }
.bars .count { color: var(--muted); }
.track { background: #f1f3f5; position: relative; display: block; }
.track i { display: block; height: 5px; margin: 1px 0; position: relative; }
.matrix { font-size: .82rem; }
.matrix th, .matrix td { border: 1px solid #fff; padding: .25rem .4rem; text-align: right; }
.matrix tbody th { text-align: right; font-weight: 400; color: var(--ink); }
.matrix td { min-width: 2.6rem; background: #f7f8f9; }
.matrix thead th.class { vertical-align: bottom; color: var(--ink); font-weight: 400;
  padding: .3rem 0; }
.matrix thead th.class span { writing-mode: vertical-rl; transform: rotate(180deg);
  display: inline-block; max-height: 9rem; overflow: hidden; text-overflow: ellipsis; }
.matrix .axis { color: var(--muted); text-align: left; }
.heat { overflow: auto; max-height: 46rem; border: 1px solid var(--rule); }
.heat svg { display: block; max-width: none; }
.pictures { display: grid; gap: 1.6rem; margin-top: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 32rem), 1fr)); }
.pictures.wide { grid-template-columns: minmax(0, 62rem); }
.pictures img { width: 100%; }
details summary { cursor: pointer; color: var(--blue); margin: .8rem 0; }
@media print { body { max-width: none; } .heat { max-height: none; } }
"""


def write_page(path: Path, title: str, blocks: Sequence[str]) -> None:
    """Write blocks of HTML under a title as one page, beside its final name and renamed.

    Control characters and marks for the order of letters, wherever they come from, are escaped.

    Args:
        path: the file.
        title: plain text.
        blocks: what the functions below, and those of the charts, give.
    """
    name = html.escape(title)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_COLOURS}{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
    atomic_write(path, "\n".join(map(printable, page.split("\n"))))


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
    """A JPEG file inside the page; where it is gone the caption has a note."""
    text = html.escape(caption)
    try:
        source = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return f"<figure><figcaption>{text} (the picture is missing)</figcaption></figure>"
    return (
        f'<figure><img src="data:image/jpeg;base64,{source}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def pictures(figures: Sequence[str], *, is_wide: bool = False) -> str:
    """Pictures in as many columns as fit; wide ones in one."""
    kind = "pictures wide" if is_wide else "pictures"
    return f'<div class="{kind}">\n' + "\n".join(figures) + "\n</div>"


def details(summary: str, *blocks: str) -> str:
    """Blocks that open by a click."""
    content = "\n".join(blocks)
    return f"<details><summary>{html.escape(summary)}</summary>\n{content}\n</details>"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A row of bars.

    Attributes:
        name: of the row.
        spans: from and to of each bar, as shares of the track, and its colour; None is an empty
            place.
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
            f'<i style="left:{100 * span[0]:.1f}%;width:{100 * (span[1] - span[0]):.1f}%;'
            f'background:{span[2]}"></i>'
            if span
            else "<i></i>"
            for span in bar.spans
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
            f'<span class="{kind}" style="--c:{colour}">{html.escape(name)}</span>'
            for name, colour, kind in names
        )
        + "</div>"
    )
