"""A report in one HTML file that needs nothing else: text, tables, curves, pictures."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from swin_dense.tools.drawing import Picture

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
       color: #1c1f23; background: #fff; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #d9dde2; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } figure img, figure svg { max-width: 100%; height: auto; }
figcaption { color: #59616b; font-size: .9rem; }
"""


def write_report(path: Path, title: str, blocks: Sequence[str]) -> None:
    """Write blocks of HTML under a title as one page, beside its final name and renamed.

    Args:
        path: the file.
        title: plain text.
        blocks: what `heading`, `paragraph`, `table`, `curves` and `picture` give.
    """
    name = html.escape(title)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)


def heading(text: str) -> str:
    """A section's title."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A table; numbers get three digits after the point."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_name: str, y_name: str
) -> str:
    """A line chart as SVG.

    Args:
        lines: x and y values by name.
        x_name: what the horizontal axis shows, with its unit.
        y_name: what the vertical axis shows.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, linewidth=1.6)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.legend(frameon=False)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    return f"<figure>{drawn.getvalue()[drawn.getvalue().index('<svg') :]}</figure>"


def picture(pixels: Picture, caption: str) -> str:
    """A picture inside the page, with a caption."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="JPEG", quality=90)
    source = base64.b64encode(encoded.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{source}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"
