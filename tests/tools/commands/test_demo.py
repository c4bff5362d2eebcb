"""The demonstration, in a few steps: every file it promises."""

import json
from pathlib import Path

import pytest

from swin_dense.tools.commands.demo import Options, run


def test_the_demo_writes_scores_pictures_and_a_report(tmp_path: Path) -> None:
    run(Options(out=tmp_path / "demo", train_images=8, val_images=2, size=64, steps=2))
    out = tmp_path / "demo"
    scores = {"detection": ["bbox", "segm"], "segmentation": ["mIoU", "mAcc", "aAcc", "IoU"]}
    for task, names in scores.items():
        metrics = json.loads((out / task / "metrics.json").read_text())
        assert list(metrics)[:4] == names
        assert len(list((out / task / "overlays").glob("*.png"))) == 2
        assert (out / task / "last" / "model.safetensors").is_file()
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert "mIoU" in page
    assert "box AP50" in page


def test_the_demo_does_not_draw_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="new or empty folder"):
        run(Options(out=tmp_path))
