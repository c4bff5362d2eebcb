"""README and pages: their Python code runs; their commands, flags, links and scores exist.

The published file and the image of the example have small stand-ins.
"""

import contextlib
import dataclasses
import importlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

import swin_dense as sd
from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.cli import COMMANDS, main
from swin_dense.tools.recipes.table import RECIPES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
RECIPES_OF_TASKS = (
    "mask_rcnn_swin_t_finetune",
    "upernet_swin_t_finetune",
    "mask2former_swin_t_panoptic_finetune",
)


def code_blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^( *)```{language}\n(.*?)^ *```$"
    found = re.findall(pattern, page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def prose(page: Path) -> str:
    return re.sub(r"^( *)```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> list[list[str]]:
    """The words behind `swin-dense` of each of its command lines in the page's shell code."""
    lines = []
    for block in code_blocks(page, "bash"):
        for line in re.split(r"\n|&&", block.replace("\\\n", " ")):
            words = shlex.split(line, comments=True)
            for name in ("swin-dense", "swin_dense.tools.cli"):
                if name in words:
                    lines.append(words[words.index(name) + 1 :])
    return lines


def inline_commands(page: Path) -> list[list[str]]:
    """The same of the commands that the page's sentences name."""
    return [line.split() for line in re.findall(r"`swin-dense\s(\S[^`]*)`", prose(page))]


def of_all_pages(list_commands):
    return [
        pytest.param(words, id=f"{page.name}-{' '.join(words)}")
        for page in PAGES
        for words in list_commands(page)
    ]


@cache
def known_flags(*command: str) -> set[str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    return set(re.findall(r"(--[a-z][\w.-]*)", text.getvalue()))


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "index.md"], ids=lambda page: page.name)
def test_python_code_runs(page, tmp_path, monkeypatch, capsys):
    config = sd.heads.MODEL_VARIANTS["mask_rcnn_swin_t"]
    small = dataclasses.replace(
        config,
        backbone=sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        fpn_channels=8,
        num_classes=3,
        box=dataclasses.replace(config.box, fc_channels=8, score_threshold=0.0),
        mask=dataclasses.replace(config.mask, channels=8),
    )
    model = sd.heads.create_model(small, class_names=("cat", "dog", "bird"))
    code = "\n".join(code_blocks(page, "python"))
    (weights,) = set(re.findall(r'from_checkpoint\("(.*?)"\)', code))
    save_model(model, tmp_path / weights)
    (image,) = set(re.findall(r'read_image\("(.*?)"\)', code))
    cv2.imwrite(str(tmp_path / image), np.zeros((60, 80, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code.replace("(1333, 800)", "(80, 60)"), page.name, "exec"), names)
    assert len(names["pyramid"]) == 4
    assert names["found"]["masks"].shape[1:] == (60, 80)
    assert capsys.readouterr().out.split()[0] in ("cat", "dog", "bird")


def test_readme_is_short_and_opens_with_a_picture():
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert lines[2].startswith("![")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    paths = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [path for path in paths if path and not (page.parent / path).is_file()] == []


@pytest.mark.parametrize("words", of_all_pages(command_lines))
def test_command_lines_are_accepted(words, monkeypatch):
    assert words[0] in COMMANDS
    module = importlib.import_module(f"swin_dense.tools.commands.{COMMANDS[words[0]].stem}")
    accepted = []
    monkeypatch.setattr(module, "run", accepted.append)
    assert main(words) == 0
    assert len(accepted) == 1


@pytest.mark.parametrize("words", of_all_pages(inline_commands))
def test_commands_in_sentences_exist_with_their_flags(words):
    if words[0] == "COMMAND":
        return
    if words[0].startswith("--"):
        assert main(words) == 0
        return
    choice = RECIPES_OF_TASKS[:1] if words[0] in ("train", "compare") else ()
    flags = {word for word in words if word.startswith("--")}
    assert flags <= known_flags(words[0], *choice)


def test_flags_in_sentences_about_training_exist():
    known = set.union(*(known_flags("train", recipe) for recipe in RECIPES_OF_TASKS))
    known |= known_flags("evaluate") | known_flags("predict")
    named = re.findall(r"`(--[a-z][\w.-]*)", prose(ROOT / "docs" / "own_data.md"))
    assert len(named) > 5
    assert set(named) <= known


def test_every_command_is_described():
    page = (ROOT / "docs" / "commands.md").read_text()
    assert re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) == sorted(
        COMMANDS, key=lambda name: page.find(f"\n## {name}\n")
    )
    assert {words[0] for words in command_lines(ROOT / "docs" / "commands.md")} == set(COMMANDS)


def test_published_scores_of_recipes_are_in_the_results():
    text = (ROOT / "docs" / "results.md").read_text()
    for recipe in RECIPES.values():
        if recipe.published:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{recipe.name}`")]
            for _, score in recipe.published:
                assert str(score) in row
