"""Hooks of the documentation's build: what its pages take from the code.

* mkdocstrings reads source files and finds `heads/`, `datasets/` and `tools/` only where they lie
  when installed, inside `swin_dense/`: it gets a copy of the package in that shape.
* A line `<!-- flags: COMMAND -->` becomes the flags that `swin-dense COMMAND --help` prints.
* `finetune.ipynb` becomes the page `finetune.md`.
"""

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from swin_dense.tools.cli import main

NOTEBOOK = "finetune.ipynb"
_FOLDERS = ("heads", "datasets", "tools")
_WIDTH = "120"  # columns of the printed help: one column of boxes, whose longest names still fit

_package = tempfile.TemporaryDirectory(prefix="swin_dense_docs_")


@dataclass
class FlagGroup:
    """One box of a command's help: its title, its purpose, and for each flag its description."""

    title: str
    purpose: str = ""
    flags: list[tuple[str, str]] = field(default_factory=list)


@event_priority(100)  # before mkdocstrings takes its search paths
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give mkdocstrings a copy of the package as it is when installed."""
    root = Path(config.config_file_path).parent
    package = Path(_package.name) / "swin_dense"
    shutil.rmtree(package, ignore_errors=True)
    only_code = shutil.ignore_patterns("__pycache__", "*.csv")
    shutil.copytree(root / "swin_dense", package, ignore=only_code)
    for folder in _FOLDERS:
        shutil.copytree(root / folder, package / folder, ignore=only_code)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [_package.name]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebook's page."""
    notebook = json.loads((Path(config.docs_dir) / NOTEBOOK).read_text(encoding="utf-8"))
    page = NOTEBOOK.replace(".ipynb", ".md")
    files.append(File.generated(config, page, content=notebook_page(notebook)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a command's flags in the place of each `<!-- flags: COMMAND -->`."""
    del page, config, files

    def flags(match: re.Match[str]) -> str:
        text = definition_lists(read_flags(printed_help(match[2].split())))
        return textwrap.indent(text, match[1])

    return re.sub(r"^( *)<!-- flags: (.+?) -->$", flags, markdown, flags=re.MULTILINE)


def printed_help(words: list[str]) -> str:
    """The text that `swin-dense WORDS --help` prints."""
    text = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # else the boxes are not drawn
    with (
        mock.patch.dict(os.environ, {"COLUMNS": _WIDTH, "NO_COLOR": "1"}),
        contextlib.redirect_stdout(text),
        contextlib.suppress(SystemExit),
    ):
        main([*words, "--help"])
    text.seek(0)
    return text.read()


def read_flags(text: str) -> list[FlagGroup]:
    """The groups of flags in a command's help, without `--help` itself.

    Raises:
        ValueError: a flag that the text names is in none of its boxes.
    """
    groups = [
        _read_box(title, [line[2:-1].rstrip() for line in box.splitlines()])
        for title, box in re.findall(r"^╭─ (.*?) ─*╮\n((?:│.*\n)*)╰", text, flags=re.MULTILINE)
    ]
    found = {name.split()[0] for group in groups for name, _ in group.flags}
    named = set(re.findall(r"^\W{2,3}(--[a-z][\w.-]*)", text, flags=re.MULTILINE))
    if not named <= found:
        raise ValueError(f"flags that could not be read: {sorted(named - found)}")
    return [group for group in groups if group.flags]


def _read_box(title: str, lines: list[str]) -> FlagGroup:
    """Read a box: its purpose above a rule, if there is one, and its flags."""
    rules = [index for index, line in enumerate(lines) if line.startswith("──")]
    start = rules[0] + 1 if rules else 0
    group = FlagGroup(title, " ".join(lines[: max(start - 1, 0)]))
    for line in lines[start:]:
        if line.startswith("  "):
            name, description = group.flags[-1]
            group.flags[-1] = (name, f"{description} {line.strip()}".strip())
        elif group.flags and _is_open(group.flags[-1][0]):  # a long name goes on
            group.flags[-1] = (f"{group.flags[-1][0]}{line}", "")
        else:
            name, _, description = line.partition("  ")
            group.flags.append((name, description.strip()))
    group.flags = [flag for flag in group.flags if flag[0] != "-h, --help"]
    return group


def _is_open(name: str) -> bool:
    return name.count("{") > name.count("}") or name.count("[") > name.count("]")


def definition_lists(groups: list[FlagGroup]) -> str:
    """Markdown of groups of flags: a heading line and a definition list each."""
    parts = []
    for group in groups:
        if group.title not in ("options", "positional arguments"):
            title = group.title.removesuffix(" options")
            parts.append(f"**`--{title}`** {_escape(group.purpose)}")
        parts += [f"`{name}`\n:   {_with_default(text)}" for name, text in group.flags]
    return "\n\n".join(parts)


def _with_default(text: str) -> str:
    """A description with its default as code."""
    match = re.fullmatch(r"(.*?) ?\((default: (?P<value>.*)|required)\)", text, flags=re.DOTALL)
    if match is None:
        return _escape(text)
    value = match["value"]
    if value is None:
        return f"{_escape(match[1])} *Required.*"
    return f"{_escape(match[1])} *Default:* {f'`{value.strip()}`' if value.strip() else 'empty'}"


def _escape(text: str) -> str:
    """Text without Markdown's own signs, outside of what is code."""
    parts = text.split("`")
    return "`".join(
        part if index % 2 else re.sub(r"([*_<>\[\]{}])", r"\\\1", part)
        for index, part in enumerate(parts)
    )


def notebook_page(notebook: dict) -> str:
    """Markdown of a notebook's cells."""
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cells.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(cells) + f"\n\n[The notebook]({NOTEBOOK}) itself runs in Jupyter.\n"
