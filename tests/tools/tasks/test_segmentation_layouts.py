"""Every layout of segmentation data from the command line: trained two steps, and evaluated."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import segmentation_layouts as layouts
from training_runs import segmentation_recipe, small_options

from swin_dense.datasets.formats.segmentation.cityscapes import CITYSCAPES_CLASSES
from swin_dense.datasets.formats.segmentation.pascal_voc import VOC_NAMES
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.cli import main
from swin_dense.tools.recipes.data import SegmentationData
from swin_dense.tools.runs.checkpoints import find_checkpoint
from swin_dense.tools.tasks.segmentation import SegmentationTask
from swin_dense.tools.training.run import train

LAYOUTS: dict[str, tuple[Callable[[Path, Path], Path], tuple[str, ...], float | None]] = {
    "voc": (layouts.write_voc, VOC_NAMES, None),
    "cityscapes": (
        partial(layouts.write_cityscapes, kind="labelIds"),
        tuple(name for _, name, _ in CITYSCAPES_CLASSES),
        None,
    ),
    "colours": (partial(layouts.write_two_folders, colours=True), layouts.NAMES, None),
    "masks": (layouts.write_masks, ("background", "foreground"), 0.3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_trained_and_evaluated_with_its_names(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, names, fraction = LAYOUTS[layout]
    root = write(layouts.draw_source(tmp_path / "source"), tmp_path / "data")
    recipe = segmentation_recipe(root, steps=2)
    recipe = replace(recipe, batch_size=2, data=replace(recipe.data, val_fraction=fraction))
    options = small_options(recipe, tmp_path / "run")
    trained = train(options)
    assert trained is not None
    last = find_checkpoint(options.run)
    assert last is not None
    weights = last / "model.safetensors"
    assert from_checkpoint(weights).class_names == names
    capsys.readouterr()
    words = ["--weights", str(weights), "--data", str(root), "--scale", "64", "64"]
    words += ["--workers", "0", "--device", "cpu", "--json", str(tmp_path / "scores.json")]
    if fraction is not None:
        words += ["--val-fraction", str(fraction)]
    assert main(["evaluate", *words]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert len(scores["IoU"]) == len(names)
    assert scores["area_label"] == trained.metrics["area_label"]
    assert scores["mIoU"] == pytest.approx(trained.metrics["mIoU"], abs=1e-6)
    assert names[0] in capsys.readouterr().out


def test_labels_from_0_beside_255_are_trained_as_they_are(tmp_path: Path) -> None:
    source = layouts.draw_source(tmp_path / "source")
    root = layouts.write_plain_ade20k(source, tmp_path / "data")
    task = SegmentationTask()
    data = SegmentationData(scale=(64, 64), crop=(64, 64), ratios=(1.0, 1.0), flip=0.0)
    plain, expected = (
        task.training_data(replace(data, root=folder), seed=0) for folder in (root, source)
    )
    assert plain.reduce_zero_label is False
    assert expected.reduce_zero_label is True
    for index in range(len(expected)):
        found, wanted = plain[index]["label_map"], expected[index]["label_map"]
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_label_maps_with_two_readings_stop_the_command_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    for split in layouts.SPLITS:
        layouts.save(np.zeros((64, 64, 3), np.uint8), root / "images" / split / "a.png")
        stored = np.tile(np.arange(2, dtype=np.uint8), (64, 32))
        layouts.save(stored, root / "annotations" / split / "a.png")
    layouts.write_names(root)
    words = ["train", "upernet_demo", "--data.root", str(root), "--out", str(tmp_path / "run")]
    words += ["--check-only", "--device", "cpu", "--workers", "0", "--batch-size", "1"]
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "say --data.reduce-zero-label true or false" in error
    assert main([*words, "--data.reduce-zero-label", "false"]) == 0


def test_a_run_is_not_continued_with_label_maps_read_in_another_way(tmp_path: Path) -> None:
    source = layouts.draw_source(tmp_path / "source")
    recipe = replace(segmentation_recipe(source, steps=2), batch_size=2)
    train(small_options(recipe, tmp_path / "run"))
    for path in sorted((source / "annotations").rglob("*.png")):
        stored = layouts.read_numbers(path)
        layouts.save(stored - np.uint8(1), path)
    with pytest.raises(ValueError, match="--resume must read label maps as before, with"):
        train(small_options(recipe, tmp_path / "run", resume=True))
