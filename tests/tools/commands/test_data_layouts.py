"""Detection data in the layouts of other tools: trained on, evaluated, inspected, converted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from detection_layouts import LAYOUTS
from training_runs import detection_recipe, small_options

from swin_dense.datasets.formats.table import DETECTION_FORMATS
from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.cli import main
from swin_dense.tools.commands.convert import convert
from swin_dense.tools.commands.evaluate import evaluate
from swin_dense.tools.commands.inspect_ import inspect
from swin_dense.tools.recipes.data import DetectionData
from swin_dense.tools.training.run import train

TRAINED = [name for name in LAYOUTS if DETECTION_FORMATS[name].is_trained_on]
CONVERTED = [name for name in LAYOUTS if not DETECTION_FORMATS[name].is_trained_on]
NAMES = ("circle", "square", "triangle", "star", "ring", "cross")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "coco"
    return write_shapes(root, num_train=6, num_val=4, size=64, seed=3)


@pytest.mark.parametrize("name", TRAINED)
def test_a_layout_is_trained_on_and_evaluated_with_its_ids_and_names(
    name: str, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = LAYOUTS[name](coco, tmp_path / name)
    recipe = detection_recipe(root, steps=1)
    if name != "roboflow":
        recipe = replace(recipe, data=replace(recipe.data, val_fraction=0.3))
    options = small_options(recipe, tmp_path / "run")
    metrics = train(options)
    said = capsys.readouterr().err
    assert f"{DETECTION_FORMATS[name].name} layout, split " in said
    assert ("('shapes')" in said) == (name == "roboflow")

    weights = options.run / "last" / "model.safetensors"
    model = from_checkpoint(weights)
    first = 0 if name == "label_studio" else 1
    assert set(model.class_names) == set(NAMES)
    assert model.category_ids == tuple(range(first, first + len(NAMES)))

    results = tmp_path / "results.json"
    scores = evaluate(weights, data=root, results=results, scale=(64, 64), workers=0, device="cpu")
    assert metrics is not None
    assert scores == metrics.metrics
    found = json.loads(results.read_text())
    assert {entry["category_id"] for entry in found} <= set(model.category_ids)
    stored = json.loads((options.run / "recipe.json").read_text())
    assert stored["splits"]["training"].startswith("train" if name == "roboflow" else "")
    kept = options.run / "val_images.txt"
    assert kept.is_file() == (name != "roboflow")
    if kept.is_file():
        names = kept.read_text().splitlines()
        assert 0 < len(names) < 6
        assert len({entry["image_id"] for entry in found}) <= len(names)
        again = evaluate(
            weights, data=root, val_fraction=0.3, scale=(64, 64), workers=0, device="cpu"
        )
        assert again == scores


@pytest.mark.parametrize("name", CONVERTED)
def test_a_layout_that_must_be_converted_says_the_command(
    name: str, coco: Path, tmp_path: Path
) -> None:
    root = LAYOUTS[name](coco, tmp_path / name)
    recipe = detection_recipe(root, steps=1)
    with pytest.raises(ValueError, match=rf"swin-dense convert {root} OUT --to coco"):
        train(small_options(recipe, tmp_path / "run"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_inspected_and_converted_to_the_same(
    name: str, coco: Path, tmp_path: Path
) -> None:
    root = LAYOUTS[name](coco, tmp_path / name)
    (before,) = inspect(root, html=tmp_path / "page.html")["data"]
    assert (before["layout"], before["task"]) == (name, "detection")
    assert set(before["class_names"]) == set(NAMES)
    assert (tmp_path / "page.html").read_text().count("<img") >= 4
    out = convert(root, tmp_path / "out", to="coco")
    (after,) = inspect(out)["data"]
    assert after["layout"] == "coco"
    published = {"train": "train2017", "valid": "val2017", "val": "val2017"}
    assert after["splits"] == {
        published.get(split, split): counts for split, counts in before["splits"].items()
    }
    assert after["class_names"] == before["class_names"]


def test_a_conversion_divides_as_a_training_does(coco: Path, tmp_path: Path) -> None:
    root = LAYOUTS["cvat"](coco, tmp_path / "cvat")
    out = convert(root, tmp_path / "out", to="coco", val_fraction=0.3)
    recipe = detection_recipe(root, steps=1)
    data = replace(recipe.data, val_fraction=0.3)
    options = small_options(replace(recipe, data=data), tmp_path / "run")
    train(options)
    written = json.loads((out / "annotations" / "instances_val2017.json").read_text())
    kept = (options.run / "val_images.txt").read_text().splitlines()
    assert [image["file_name"] for image in written["images"]] == kept
    (tmp_path / "val.txt").write_text("\n".join(kept))
    listed = convert(root, tmp_path / "listed", to="coco", val_list=tmp_path / "val.txt")
    for split in ("train2017", "val2017"):
        name = f"annotations/instances_{split}.json"
        assert (listed / name).read_bytes() == (out / name).read_bytes()


def test_a_folder_without_a_validation_part_says_how_to_keep_one(
    coco: Path, tmp_path: Path
) -> None:
    root = LAYOUTS["label_studio"](coco, tmp_path / "data")
    with pytest.raises(FileNotFoundError, match=r"splits there: all; .*--data.val-fraction 0.1"):
        train(small_options(detection_recipe(root, steps=1), tmp_path / "run"))


def test_a_line_says_the_layout_its_images_its_classes_and_its_splits(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = LAYOUTS["roboflow"](coco, tmp_path / "data")
    assert main(["inspect", str(root)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "Roboflow's COCO layout for detection, images: train 6, valid 4; 6 classes" in line
    assert "category that no annotation uses left out ('shapes')" in line


def test_folders_and_files_are_told_apart_by_what_is_asked_of_them(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.pth")
    file, folder = str(tmp_path / "weights.pth"), str(coco)
    for words, message in (
        (["convert", file, "out", "--to", "coco"], "--to coco is for a folder of data"),
        (
            ["convert", folder, "out", "--to", "timm"],
            "--to must be coco or ade20k or coco_panoptic or image_folder for a folder of data",
        ),
        (["convert", folder, folder, "--to", "coco"], "written into a new or empty folder"),
        (["inspect", file, "--html", "a.html"], "--html is for folders of data"),
        (["inspect", str(tmp_path / "none")], "none"),
        (["inspect", str(coco / "annotations"), "--format", "b"], "unknown layout 'b'; choose"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / "empty")]) == 2
    assert "in a layout that is known, found: nothing" in capsys.readouterr().err


def test_data_are_divided_in_one_way_alone() -> None:
    with pytest.raises(ValueError, match="only one of val_fraction and val_list"):
        DetectionData(val_fraction=0.1, val_list=Path("val.txt"))
    with pytest.raises(ValueError, match="val_fraction must be between 0 and 1, got 1"):
        DetectionData(val_fraction=1.0)
