"""The page of `swin-dense inspect --layers --html`: stages drawn, stages and parts, the tree."""

import html
from pathlib import Path
from typing import Any

from swin_dense.tools.layers.summary import (
    RUN_NOTE,
    STAGE_COLUMNS,
    TREE_COLUMNS,
    percent,
    short,
    stage_rows,
    tree_rows,
)
from swin_dense.tools.report.page import Section, paragraph, table, tiles, write_page

_SIDE = 132  # px of the finest map's longer side
_SMALLEST = 3.0  # px of a side
_LAYER = 5  # px between the sheets that stand for channels
_CLOSEST = 3.0  # px between lines of windows
_STYLE = """
.stages { display: flex; flex-wrap: wrap; gap: 1.4rem 1.6rem; align-items: end;
  margin: .8rem 0 1.2rem; }
.stages figure { width: 10rem; }
.stages figure > svg { width: auto; max-width: 100%; }
.stages svg rect { fill: var(--ground); stroke: var(--faint); }
.stages svg rect.front { stroke: var(--blue); }
.stages svg path { stroke: var(--blue); opacity: .45; fill: none; }
.stages figcaption b { color: var(--ink); }
.stages .track { margin-top: .35rem; }
.stages .track i { background: var(--blue); }
.tree td:first-child { white-space: pre; }
.tree td:nth-child(2), .tree th:nth-child(2) { text-align: left; }
"""


def write_layers_page(path: Path, title: str, facts: dict[str, Any]) -> None:
    """Write the page.

    Args:
        path: the file.
        title: of the page.
        facts: of `summarise`.
    """
    height, width = facts["size"]
    padded = facts["padded_size"]
    remark = "" if padded == facts["size"] else f"padded to {padded[0]} x {padded[1]}"
    notes = [f"Counted are {facts['counted']}.", facts["note"]]
    tree = [(name.replace("  ", "\u2003"), *cells) for name, *cells in tree_rows(facts)]
    write_page(
        path,
        title,
        [
            tiles(
                [
                    ("image, px", f"{height} x {width}", remark),
                    ("parameters", short(facts["parameters"]), f"{facts['parameters']:,}"),
                    ("multiply-adds", short(facts["multiply_adds"]), "at this size"),
                ]
            ),
            *(paragraph(note, kind="muted") for note in notes if note),
            Section(
                title="Stages",
                blocks=[
                    _draw_stages(facts["stages"]),
                    paragraph(
                        "A sheet is a map of tokens, to scale, with the lines of its windows; one "
                        "more sheet is twice the channels. The bar is the share of all "
                        "multiply-adds.",
                        kind="muted",
                    ),
                    table(STAGE_COLUMNS, stage_rows(facts)),
                ],
            ),
            Section(
                title="Modules",
                blocks=[
                    paragraph(RUN_NOTE, kind="muted"),
                    f'<div class="tree">{table(TREE_COLUMNS, tree)}</div>',
                ],
            ),
        ],
        style=_STYLE,
    )


def _draw_stages(stages: list[dict[str, Any]]) -> str:
    longest = max(max(stage["tokens"]) for stage in stages)
    fewest = min(stage["channels"] for stage in stages)
    return (
        '<div class="stages">'
        + "".join(_draw_stage(stage, _SIDE / longest, fewest) for stage in stages)
        + "</div>"
    )


def _draw_stage(stage: dict[str, Any], scale: float, fewest: int) -> str:
    """A stage's map: as many sheets as its channels are doublings of the fewest, and one."""
    height, width = (max(_SMALLEST, scale * side) for side in stage["tokens"])
    sheets = (stage["channels"] // fewest).bit_length()
    depth = _LAYER * (sheets - 1)
    drawn = []
    for sheet in reversed(range(sheets)):
        left, top = 0.5 + _LAYER * sheet, 0.5 + depth - _LAYER * sheet
        kind = "" if sheet else ' class="front"'
        drawn.append(
            f'<rect{kind} x="{left:g}" y="{top:g}" width="{width:.1f}" height="{height:.1f}"/>'
        )
    lines = _window_lines(stage, scale, width, height)
    if lines:
        drawn.append(f'<path transform="translate(.5 {depth + 0.5:g})" d="{lines}"/>')
    box = f"{width + depth + 1:.1f}", f"{height + depth + 1:.1f}"
    tokens = "{} x {}".format(*stage["tokens"])
    text = [
        f"<b>{html.escape(stage['name'])}</b>",
        f"{tokens} tokens",
        f"{stage['channels']} channels",
    ]
    if stage["heads"] is not None:
        text.append(f"{stage['blocks']} blocks of {stage['heads']} heads")
    bar = ""
    if stage["share"] is not None:
        text += [f"{short(stage['multiply_adds'])} multiply-adds", percent(stage["share"])]
        bar = f'<span class="track"><i style="width:{100 * stage["share"]:.1f}%"></i></span>'
    label = f"{stage['name']}: {tokens} tokens of {stage['channels']} channels"
    return (
        f'<figure><svg role="img" aria-label="{html.escape(label)}" width="{box[0]}" '
        f'height="{box[1]}" viewBox="0 0 {box[0]} {box[1]}">{"".join(drawn)}</svg>'
        f"<figcaption>{'<br>'.join(text)}{bar}</figcaption></figure>"
    )


def _window_lines(stage: dict[str, Any], scale: float, width: float, height: float) -> str:
    """Lines between windows; none where they would touch."""
    if stage["window"] is None or stage["window"] * scale < _CLOSEST:
        return ""
    rows, columns = stage["tokens"]
    down = range(stage["window"], rows, stage["window"])
    across = range(stage["window"], columns, stage["window"])
    return "".join(
        [
            *(f"M0 {scale * row:.1f}H{width:.1f}" for row in down),
            *(f"M{scale * column:.1f} 0V{height:.1f}" for column in across),
        ]
    )
