"""The built pages: complete, with every flag of every command, and without the network."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import swin_dense as sd
from swin_dense.tools.cli import COMMANDS

pytest.importorskip("mkdocs", reason='needs pip install -e ".[docs]"')
pytest.importorskip("material", reason='needs pip install -e ".[docs]"')
pytest.importorskip("mkdocstrings", reason='needs pip install -e ".[docs]"')

ROOT = Path(__file__).resolve().parents[2]
HELP = """\
usage: swin-dense paint [-h] [OPTIONS] PATH

╭─ positional arguments ───────────────────────╮
│ PATH      What to paint. (required)          │
╰──────────────────────────────────────────────╯
╭─ options ────────────────────────────────────╮
│ -h, --help                                   │
│           show this help message and exit    │
│ --to {red,green,blue,                        │
│ yellow}                                      │
│           Its colour, of <four>. (default:   │
│           red)                               │
╰──────────────────────────────────────────────╯
╭─ brush options ──────────────────────────────╮
│ The brush.                                   │
│ ──────────────────────────────────────────── │
│ --brush.names [STR [STR ...]]                │
│           Their names. (default: )           │
╰──────────────────────────────────────────────╯
"""


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "theme" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built as `mkdocs build --strict` does."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def test_flags_are_read_from_boxes(hooks):
    positional, options, brush = hooks.read_flags(HELP)
    assert positional.flags == [("PATH", "What to paint. (required)")]
    assert options.flags == [
        ("--to {red,green,blue,yellow}", "Its colour, of <four>. (default: red)")
    ]
    assert brush.purpose == "The brush."
    assert brush.flags == [("--brush.names [STR [STR ...]]", "Their names. (default: )")]


def test_flags_become_definition_lists(hooks):
    text = hooks.definition_lists(hooks.read_flags(HELP))
    assert "`PATH`\n:   What to paint. *Required.*" in text
    assert "`--to {red,green,blue,yellow}`\n:   Its colour, of \\<four\\>. *Default:* `red`" in text
    assert "**`--brush`** The brush." in text
    assert "`--brush.names [STR [STR ...]]`\n:   Their names. *Default:* empty" in text


def test_help_that_cannot_be_read_is_refused(hooks):
    with pytest.raises(ValueError, match=r"could not be read: \['--to'\]"):
        hooks.read_flags("options:\n  --to COLOUR  Its colour.\n")


def test_page_of_the_notebook_has_its_code(site):
    page = (site / "finetune.html").read_text()
    assert "write_shapes" in page
    assert 'href="finetune.ipynb"' in page
    assert (site / "finetune.ipynb").is_file()


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"recipes", "train"}))
def test_page_of_commands_has_every_flag(command, site, hooks):
    page = (site / "commands.html").read_text()
    words = [command, "classifier_demo"] if command == "compare" else [command]
    flags = re.findall(r"^│ (--[\w.-]+)", hooks.printed_help(words), flags=re.MULTILINE)
    assert flags
    assert [flag for flag in flags if f"<dt><code>{flag}" not in page] == []


def test_page_of_the_api_has_every_public_name(site):
    page = (site / "api.html").read_text()
    names = [
        f"{module.__name__}.{name}"
        for module in (sd, sd.heads, sd.datasets)
        for name in module.__all__
        if not name.isupper() and not isinstance(getattr(module, name), ModuleType)
    ]
    names += [f"swin_dense.tools.commands.{COMMANDS[name].stem}.{name}" for name in COMMANDS]
    assert [name for name in names if f'id="{name}"' not in page] == []


def test_no_page_asks_the_network(site):
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = page.read_text()
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="?(https?:)?//', text)
        loaded += re.findall(r'<link[^>]*\shref="?(?:https?:)?//', text)
        loaded += re.findall(r"url\(\"?'?(?:https?:)?//", text)
        assert loaded == [], page
