"""Trainings on boxes alone, and on data in which some objects have masks and some not."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coco_writer import without_masks
from training_runs import assert_same, detection_recipe, losses, small_options, weights

from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.detection.config import CascadeRCNNConfig, FasterRCNNConfig
from swin_dense.tools.cli import main
from swin_dense.tools.recipes.data import BoxData
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.runs.evaluations import list_records, read_record
from swin_dense.tools.training.options import with_model_of_init
from swin_dense.tools.training.run import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(
        tmp_path_factory.mktemp("shapes") / "data", num_train=6, num_val=2, size=64, seed=0
    )


@pytest.fixture(scope="module")
def boxes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_masks(data, tmp_path_factory.mktemp("boxes") / "data", every=1)


@pytest.fixture(scope="module")
def half(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_masks(data, tmp_path_factory.mktemp("half") / "data", every=2)


def _without(recipe: Recipe) -> Recipe:
    """The same recipe for boxes alone."""
    model = {name: value for name, value in vars(recipe.model).items() if name != "mask"}
    return replace(
        recipe,
        name="faster_rcnn_demo",
        model=FasterRCNNConfig(**model),
        data=BoxData(**vars(recipe.data)),
    )


def test_boxes_alone_are_trained_on_evaluated_and_resumed_to_the_bit(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _without(detection_recipe(boxes, steps=2, drop_path=0.5))
    evaluation = train(small_options(recipe, tmp_path / "whole"))
    said = capsys.readouterr().err
    assert re.search(r"^faster_rcnn_demo: 6 images, \d+ boxes, 0 masks, 6 classes", said, re.M)
    assert "does not learn" not in said
    assert evaluation is not None
    assert evaluation.metrics.keys() == {"bbox"}
    assert json.loads((tmp_path / "whole" / "metrics.json").read_text()) == evaluation.metrics
    (record,) = (read_record(path) for path in list_records(tmp_path / "whole"))
    assert record.classes.scores.keys() == {"box AP"}
    report = (tmp_path / "whole" / "report.html").read_text()
    assert "box AP50" in report
    assert "mask" not in re.sub('mask_rcnn|base64,[^"]*', "", report)

    train(small_options(replace(recipe, steps=1), tmp_path / "half"))
    assert main(["report", str(tmp_path / "whole"), str(tmp_path / "half")]) == 0
    assert (tmp_path / "whole" / "comparison.html").is_file()


def test_masks_in_the_data_change_nothing_for_a_model_without(
    data: Path, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _without(detection_recipe(data, steps=2))
    train(small_options(recipe, tmp_path / "masks"))
    said = capsys.readouterr().err
    assert re.search(
        r"^(\d+) of \1 objects have masks, .* does not learn; mask_rcnn_demo", said, re.M
    )
    train(small_options(replace(recipe, data=replace(recipe.data, root=boxes)), tmp_path / "boxes"))
    assert_same(weights(tmp_path / "masks"), weights(tmp_path / "boxes"))


def test_a_recipe_with_masks_is_refused_boxes_alone_in_one_line(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "mask_rcnn_demo", "--data.root", str(boxes), "--out", str(tmp_path / "run")]
    assert main([*words, "--device", "cpu", "--workers", "0"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: mask_rcnn_demo must have masks to learn from, got ")
    assert "use faster_rcnn_demo, which learns boxes alone" in line


def test_half_of_the_masks_train_boxes_from_all_objects(
    data: Path, half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = detection_recipe(half, steps=1)
    evaluation = train(small_options(recipe, tmp_path / "half"))
    line = re.search(r"6 images, (\d+) boxes, (\d+) masks", capsys.readouterr().err)
    assert line is not None
    num_boxes, num_masks = map(int, line.groups())
    assert num_masks == num_boxes // 2
    assert evaluation is not None
    assert evaluation.metrics.keys() == {"bbox", "segm"}
    whole = replace(recipe, data=replace(recipe.data, root=data))
    train(small_options(whole, tmp_path / "whole"))
    (ours,), (theirs,) = losses(tmp_path / "half"), losses(tmp_path / "whole")
    for name in ("loss_cls", "loss_bbox", "loss_rpn_cls", "loss_rpn_bbox"):
        assert ours[name] == theirs[name], name
    assert ours["loss_mask"] != theirs["loss_mask"]


def test_a_training_without_masks_starts_from_a_file_with_masks(
    data: Path, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = detection_recipe(data, steps=1)
    train(small_options(recipe, tmp_path / "masks"))
    file = tmp_path / "masks" / "last" / "model.safetensors"
    capsys.readouterr()
    plain = _without(replace(recipe, data=replace(recipe.data, root=boxes)))
    train(small_options(plain, tmp_path / "boxes", init=file))
    assert re.search(r"not used: \d+ \(roi_head\.mask_head", capsys.readouterr().err)
    loaded = from_checkpoint(tmp_path / "boxes" / "last")
    assert type(loaded.config) is FasterRCNNConfig


def test_the_architecture_of_a_file_with_masks_is_taken_without_them(
    data: Path, tmp_path: Path
) -> None:
    recipe = detection_recipe(data, steps=1)
    train(small_options(recipe, tmp_path))
    file = tmp_path / "last" / "model.safetensors"
    finetune = find_recipe("faster_rcnn_swin_t_finetune")
    options = with_model_of_init(
        small_options(finetune, tmp_path / "new", init=file, model_from_init=True)
    )
    model: Any = options.recipe.model
    assert type(model) is FasterRCNNConfig
    assert model.fpn_channels == recipe.model.fpn_channels
    assert model.box == recipe.model.box


def test_a_cascade_learns_boxes_alone(boxes: Path, tmp_path: Path) -> None:
    recipe = _without(detection_recipe(boxes, steps=1))
    shared = ("backbone", "num_classes", "fpn_channels", "rpn")
    sizes = {name: getattr(recipe.model, name) for name in shared}
    box = replace(find_recipe("cascade_rcnn_swin_t_finetune").model.box, num_convs=1)
    box = replace(box, conv_channels=8, fc_channels=8)
    evaluation = train(
        small_options(replace(recipe, model=CascadeRCNNConfig(**sizes, box=box)), tmp_path)
    )
    assert evaluation is not None
    assert evaluation.metrics.keys() == {"bbox"}
    (line,) = losses(tmp_path)
    assert {"s0.loss_bbox", "s2.loss_cls"} <= line.keys()
    assert not any("mask" in name for name in line)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's data."""
    return write_shapes(
        tmp_path_factory.mktemp("drawn") / "data", num_train=800, num_val=100, size=128, seed=0
    )


def _scores(name: str, root: Path, out: Path) -> dict[str, Any]:
    recipe = find_recipe(name)
    recipe = replace(recipe, data=replace(recipe.data, root=root))
    evaluation = train(small_options(recipe, out, log_every=50))
    assert evaluation is not None
    return evaluation.metrics


@pytest.mark.slow
def test_the_demo_finds_drawn_shapes_from_boxes_alone(drawn: Path, tmp_path: Path) -> None:
    root = without_masks(drawn, tmp_path / "data", every=1)
    assert _scores("faster_rcnn_demo", root, tmp_path / "run")["bbox"]["AP50"] >= 0.8


@pytest.mark.slow
def test_half_of_the_masks_teach_nearly_as_good_masks(drawn: Path, tmp_path: Path) -> None:
    root = without_masks(drawn, tmp_path / "data", every=2)
    annotations = "annotations/instances_val2017.json"
    (root / annotations).write_text((drawn / annotations).read_text())
    whole = _scores("mask_rcnn_demo", drawn, tmp_path / "whole")["segm"]["AP50"]
    assert _scores("mask_rcnn_demo", root, tmp_path / "half")["segm"]["AP50"] >= 0.9 * whole
