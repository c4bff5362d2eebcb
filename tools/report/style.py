"""The style sheet of the pages: light and dark by the reader's setting, wide and narrow windows.

Colours are variables, and charts use the same ones, so that a page in the dark has no white boxes
and no black text. No text is smaller than 12 px.
"""

INK, MUTED, RULE = "#1d2127", "#667080", "#e2e5e9"
BLUE, ORANGE = "#2f6db5", "#d9822b"
GRID, FAINT = "#eef0f2", "#c3c9d1"

_LIGHT = {
    "ground": "#ffffff",
    "ink": INK,
    "muted": MUTED,
    "rule": RULE,
    "grid": GRID,
    "faint": FAINT,
    "blue": BLUE,
    "orange": ORANGE,
    "shade": "#1d212759",
}
_DARK = {
    "ground": "#14171b",
    "ink": "#e6e9ed",
    "muted": "#9aa4b1",
    "rule": "#333a42",
    "grid": "#262b31",
    "faint": "#535d68",
    "blue": "#6ba6e4",
    "orange": "#e39a4c",
    "shade": "#000000d9",
}
_VARIABLES = {colour: f"var(--{name})" for name, colour in _LIGHT.items() if name != "ground"}

_RULES = """
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--ground); margin: 0 auto; max-width: 86rem;
  display: grid; grid-template-columns: 11.5rem minmax(0, 1fr); }
main { padding: 2.2rem 1.5rem 4rem; min-width: 0; }
body > main:only-child { grid-column: 1 / -1; }
a { color: var(--blue); }

nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto;
  padding: 2.6rem 0 1rem 1.5rem; font-size: .87rem; z-index: 2; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav ul ul { padding-left: .8rem; margin-bottom: .7rem; }
nav a { display: block; padding: .18rem .6rem; color: var(--muted); text-decoration: none;
  border-left: 2px solid var(--rule); }
nav a.group { color: var(--ink); font-weight: 600; border-color: transparent; padding-left: 0; }
nav a:hover, nav a:focus-visible { color: var(--ink); border-color: var(--blue); }

h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0; }
h3 { font-size: .95rem; margin: 1.4rem 0 .5rem; }
p { max-width: 46rem; margin: .4rem 0; overflow-wrap: anywhere; }
.muted, figcaption { color: var(--muted); }
.note { border-left: 3px solid var(--orange); padding-left: .8rem; }

summary { cursor: pointer; }
details.section { border-top: 1px solid var(--rule); margin-top: 1.8rem; padding-top: .8rem; }
details.group { border-top: 0; margin-top: 3.4rem; }
details.section > summary { list-style: none; display: flex; align-items: baseline; gap: .55rem;
  margin-bottom: .6rem; }
details.section > summary::-webkit-details-marker { display: none; }
details.section > summary::before { content: "\\25B8"; color: var(--muted); width: .8em; flex: none;
  font-size: .9rem; }
details.section[open] > summary::before { content: "\\25BE"; }
details.more > summary { color: var(--blue); margin: .8rem 0; }

.tiles { display: flex; flex-wrap: wrap; gap: 1.2rem 2.6rem; margin: 1.6rem 0 0; }
.tile b { display: block; font-size: 1.9rem; line-height: 1.15; font-weight: 600; }
.tile span { display: block; font-size: .85rem; color: var(--muted); }
.tile .label { color: var(--ink); }
.tiles, table, .bars { font-variant-numeric: tabular-nums; }

/* A shadow stands at the edge behind which there is more: covers move with the content. */
.scroll { overflow: auto; max-width: 100%; scrollbar-width: thin; background:
  linear-gradient(to right, var(--ground) 40%, transparent) left / 2.2rem 100% no-repeat local,
  linear-gradient(to left, var(--ground) 40%, transparent) right / 2.2rem 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / .8rem 100% no-repeat scroll,
  linear-gradient(to left, var(--shade), transparent) right / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .22rem .9rem; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; }
th { font-weight: 600; } thead th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.words th:nth-child(2), .words td:nth-child(2) { text-align: left; }

.row { display: grid; gap: 1.4rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20.5rem), 1fr)); }
.row > * { min-width: 0; }
.row > :has(> figure.constant) { grid-column: 1 / -1; order: 1; }
.row > :has(> figure.constant) + :has(> figure.constant) { margin-top: -1.2rem; }
.row + .row { margin-top: 1.4rem; }
figure { margin: 0; }
figure > img { display: block; max-width: 100%; height: auto; }
figure > svg { display: block; width: 100%; height: auto; max-width: 26rem; }
figure h3 { margin: .2rem 0 .3rem; }
figure svg text { font-family: inherit !important; }
figure.constant h3, figure.constant p { display: inline; font-size: .9rem; }
figcaption { font-size: .85rem; margin-top: .3rem; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .85rem; }
.legend span::before { content: ""; display: inline-block; width: 1.1em; margin-right: .4em;
  border-top: 3px solid var(--c); vertical-align: .25em; }
.legend .dashed::before { border-top-style: dashed; border-top-width: 2px; }
.legend .faint::before { border-top-width: 2px; }

.bars { columns: 22rem; column-gap: 2.6rem; font-size: .85rem; margin: .6rem 0; }
.bars > div { display: grid; align-items: center; gap: .6rem; padding: .12rem 0;
  grid-template-columns: minmax(0, 8.5rem) minmax(3rem, 1fr) 5.6rem 5.9rem;
  break-inside: avoid; }
.bars .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bars .value, .bars .count { text-align: right; white-space: nowrap; }
.bars .count { color: var(--muted); }
.track { background: var(--grid); position: relative; display: block; }
.track i { display: block; height: 5px; margin: 1px 0; position: relative; }
.track i.second { opacity: .5; }

.matrix { font-size: .82rem; border-collapse: separate; border-spacing: 1px; }
.matrix th, .matrix td { border: 0; padding: .25rem .4rem; text-align: right; }
.matrix tbody th { font-weight: 400; color: var(--ink); }
.matrix tbody th, .matrix .axis { position: sticky; left: 0; background: var(--ground);
  z-index: 1; max-width: 9rem; overflow: hidden; text-overflow: ellipsis; }
.matrix td { min-width: 2.6rem; background: #8a94a01a; }
.matrix thead th.class { vertical-align: bottom; color: var(--ink); font-weight: 400;
  padding: .3rem 0; }
.matrix thead th.class span { writing-mode: vertical-rl; transform: rotate(180deg);
  display: inline-block; max-height: 9rem; overflow: hidden; text-overflow: ellipsis; }
.matrix .axis { color: var(--muted); text-align: left; vertical-align: bottom; }
.heat { max-height: 46rem; border: 1px solid var(--rule); }
.heat svg { display: block; max-width: none; }

.pictures { display: grid; gap: 1rem; margin-top: .6rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(14.5rem, 1fr)); }
.picture > summary { list-style: none; cursor: zoom-in; }
.picture > summary::-webkit-details-marker { display: none; }
.picture img { display: block; width: 100%; height: auto; background: #fff; }
.picture span { display: block; font-size: .85rem; margin-top: .3rem; color: var(--muted);
  overflow-wrap: anywhere; }
.picture[open] > summary { position: fixed; inset: 0; z-index: 3; cursor: zoom-out; overflow: auto;
  background: #0b0d10f2; padding: 1rem; display: grid; align-content: safe center;
  justify-items: safe center; }
.picture[open] img { width: auto; min-width: min(100%, 40rem); max-width: 100%;
  max-height: calc(100vh - 4.5rem); }
.picture[open] span { color: #e6e9ed; }

@media (max-width: 60rem) {
  html { scroll-padding-top: 3.4rem; }
  body { display: block; }
  main { padding: 1.2rem 1rem 3rem; }
  nav { padding: 0; max-height: none; background: var(--ground); scrollbar-width: none;
    border-bottom: 1px solid var(--rule); }
  nav ul { display: flex; padding: 0 .5rem; }
  nav ul ul { padding: 0; margin: 0; }
  nav li { display: flex; flex: none; }
  nav a, nav a.group { border: 0; padding: .6rem .5rem; white-space: nowrap; }
  .pictures { grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); }
  .bars > div { gap: .5rem;
    grid-template-columns: minmax(0, 5.5rem) minmax(3rem, 1fr) 5.3rem 5.3rem; }
  .picture[open] img { min-width: min(40rem, 200vw); max-width: none; max-height: none; }
  .picture[open] > summary { justify-items: start; }
}
@media print {
  body { display: block; max-width: none; }
  nav { display: none; }
  .heat { max-height: none; }
}
"""


def _declare(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


STYLE = (
    f":root {{ color-scheme: light dark; {_declare(_LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_declare(_DARK)} }} }}\n{_RULES}"
)


def themed(style: str) -> str:
    """The text of a style with the page's colours as variables, which are others in the dark."""
    for colour, variable in _VARIABLES.items():
        style = style.replace(colour, variable)
    return style
