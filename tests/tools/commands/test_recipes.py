"""The list of recipes and published files."""

import pytest

from swin_dense.checkpoints.published import PUBLISHED
from swin_dense.tools.commands.recipes import Options, recipes, run
from swin_dense.tools.recipes.table import RECIPES, find_recipe


def test_recipes_prints_every_name_with_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    run(Options())
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES)
    assert "box AP 46.0, mask AP 41.6" in printed
    assert "drop path 0.2" in printed
    assert all(name in printed for name in PUBLISHED)
    assert all(file.url in printed and file.licence in printed for file in PUBLISHED.values())
    assert "mIoU 44.51, mIoU (ms+flip) 45.81; about 240 MB" in printed


def test_the_function_gives_the_recipes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recipes()
    assert found == RECIPES
    assert dict(found["mask_rcnn_swin_t_coco_3x"].published) == {"box AP": 46.0, "mask AP": 41.6}
    monkeypatch.setitem(RECIPES, "toy", find_recipe("mask_rcnn_demo"))
    assert "toy" in recipes()
    assert "toy" not in found
