"""The README: its Python code runs, its commands and names exist.

The published file and the photograph of its example have small stand-ins.
"""

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import swin_dense as sd
from swin_dense.checkpoints.published import PUBLISHED
from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.cli import main
from swin_dense.tools.recipes.table import RECIPES

README = Path(__file__).resolve().parents[1] / "README.md"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def command_lines() -> list[list[str]]:
    lines = [line.split() for block in code_blocks("bash") for line in block.splitlines()]
    return [words for words in lines if words[0] == "swin-dense"]


def test_python_code_runs(tmp_path, monkeypatch, capsys):
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
    code = "\n".join(code_blocks("python"))
    (weights,) = set(re.findall(r'from_checkpoint\("(.*?)"\)', code))
    save_model(model, tmp_path / weights)
    (photograph,) = set(re.findall(r'read_image\("(.*?)"\)', code))
    cv2.imwrite(str(tmp_path / photograph), np.zeros((60, 80, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code.replace("(1333, 800)", "(80, 60)"), "README.md", "exec"), names)
    assert len(names["pyramid"]) == 4
    assert names["found"]["masks"].shape[1:] == (60, 80)
    assert capsys.readouterr().out.split()[0] in ("cat", "dog", "bird")


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_commands_and_their_flags_exist(words, capsys):
    choice = words[2:3] if words[1] == "train" else []
    with pytest.raises(SystemExit) as stop:
        main([words[1], *choice, "--help"])
    assert stop.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for flag in [word for word in words if word.startswith("--")]:
        assert f"{flag} " in text


def test_recipes_with_published_scores_are_in_the_table():
    text = README.read_text()
    for recipe in RECIPES.values():
        if recipe.published:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{recipe.name}`")]
            for _, score in recipe.published:
                assert str(score) in row


def test_published_files_are_listed_with_their_scores():
    lines = README.read_text().splitlines()
    for file in PUBLISHED.values():
        (row,) = [line for line in lines if line.startswith(f"| `{file.name}` |")]
        assert f"`{file.model}`" in row
        for name, score in file.scores.items():
            assert f"{name} {score:g}" in row
