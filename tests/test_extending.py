"""Code from outside adds a backbone, a head, a task, a command and a data format.

`docs/extending.md` shows the code of `support/extensions`, piece by piece; a test holds the two
together.
"""

import ast
import csv
import importlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from extensions.toy_backbone import ToyConvNetConfig
from extensions.toy_command import COMMAND
from extensions.toy_format import BOX_TABLE
from extensions.toy_head import QUERIES_RECIPE, QUERIES_SPEC
from extensions.toy_task import COUNTER_SPEC, COUNTING_RECIPE, CountingTask
from torch import nn

import swin_dense as sd
from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.table import DETECTION_FORMATS
from swin_dense.datasets.images import read_image
from swin_dense.datasets.shapes import write_shapes
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.tools import COMMANDS, cli, commands
from swin_dense.tools.commands.train import Run
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.tasks.table import TASKS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"
CODE = ROOT / "tests" / "support" / "extensions"


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Everything is added where its page says, and taken out again."""
    for table in (
        *(sd.BACKBONE_KINDS, sd.heads.MODEL_SPECS, sd.heads.MODEL_VARIANTS),
        *(TASKS, RECIPES, COMMANDS, DETECTION_FORMATS),
    ):
        for name in list(table):
            monkeypatch.setitem(table, name, table[name])  # what was there is put back
    before = [
        (table, set(table))
        for table in (
            *(sd.BACKBONE_KINDS, sd.heads.MODEL_SPECS, sd.heads.MODEL_VARIANTS),
            *(TASKS, RECIPES, COMMANDS, DETECTION_FORMATS),
        )
    ]
    sd.BACKBONE_KINDS["toy_conv_net"] = ToyConvNetConfig
    sd.heads.add_model(QUERIES_SPEC)
    RECIPES["toy_queries"] = QUERIES_RECIPE
    sd.heads.add_model(COUNTER_SPEC)
    TASKS["counting"] = CountingTask()
    RECIPES["toy_counting"] = COUNTING_RECIPE
    DETECTION_FORMATS["box_table"] = BOX_TABLE
    yield
    for table, names in before:
        for name in set(table) - names:
            del table[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_shapes(folder, num_train=6, num_val=3, size=64, seed=0)
    return folder


def train(recipe: str, data: Path, out: Path, **flags: Any) -> Run:
    torch.manual_seed(0)
    return sd.tools.train(
        recipe,
        {"data.root": str(data)},
        out=out,
        workers=0,
        device="cpu",
        log_every=1,
        save_every=2,
        keep=4,
        **flags,
    )


def check_resume(recipe: str, data: Path, run: Run, out: Path) -> None:
    """A second run that is continued from its middle ends with the same weights."""
    other = train(recipe, data, out)
    (other.folder / "last").unlink()
    (other.folder / "last").symlink_to("step_00000002")
    resumed = train(recipe, data, out, resume=True)
    assert resumed.metrics == run.metrics
    expected = sd.heads.from_checkpoint(run.last).state_dict()
    found = sd.heads.from_checkpoint(resumed.last).state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def check_files(model: nn.Module, tmp_path: Path, data: Path) -> None:
    """A model is saved, and read back with its backbone, and predicts the same."""
    sd.heads.save_model(model, tmp_path / "model.safetensors")
    loaded = sd.heads.from_checkpoint(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    image = torch.from_numpy(read_image(next((data / "val2017").iterdir()))).permute(2, 0, 1)
    torch.testing.assert_close(loaded.predict([image]), model.predict([image]), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        "mask_rcnn_swin_t",
        pytest.param("cascade_mask_rcnn_swin_t", marks=pytest.mark.slow),
        "upernet_swin_t",
    ],
)
def test_a_toy_backbone_stands_under_every_head(name: str, data: Path, tmp_path: Path) -> None:
    model = sd.heads.create_model(name, backbone=ToyConvNetConfig(width=4), num_classes=3)
    assert isinstance(model.backbone, sd.Backbone)
    check_files(model, tmp_path, data)


@pytest.mark.parametrize("size", [(1, 1), (33, 70)])
def test_a_toy_backbone_keeps_the_protocol(size: tuple[int, int]) -> None:
    backbone = ToyConvNetConfig(frozen_stages=1).build()
    for maps, channels, stride in zip(
        backbone(torch.zeros(1, 3, *size)), backbone.channels, backbone.strides, strict=True
    ):
        assert maps.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"stem.weight", "stem.bias", "stages.0.0.weight", "stages.0.0.bias"}


def test_a_toy_backbone_trains_and_is_continued(data: Path, tmp_path: Path) -> None:
    RECIPES["toy_backbone"] = replace(
        RECIPES["upernet_demo"],
        name="toy_backbone",
        model=replace(
            RECIPES["upernet_demo"].model,
            backbone=ToyConvNetConfig(gradient_checkpointing=True),
            decoder_channels=8,
            auxiliary_channels=None,
        ),
        data=replace(RECIPES["upernet_demo"].data, scale=(64, 64), crop=(64, 64)),
        batch_size=2,
        steps=4,
    )
    run = train("toy_backbone", data, tmp_path / "run")
    check_resume("toy_backbone", data, run, tmp_path / "other")
    assert sd.tools.evaluate(run.last, data=data, scale=(64, 64), workers=0) == run.metrics


def test_a_toy_head_trains_evaluates_and_is_continued(data: Path, tmp_path: Path) -> None:
    run = train("toy_queries", data, tmp_path / "run")
    check_resume("toy_queries", data, run, tmp_path / "other")
    scores = sd.tools.evaluate(run.last, data=data, scale=(64, 64), workers=0)
    assert scores == run.metrics
    assert set(scores) == {"bbox", "segm"}
    check_files(sd.heads.from_checkpoint(run.last), tmp_path, data)
    assert "toy_queries" in sd.tools.inspect(run.last)["holds"]


def test_a_toy_head_starts_anew_where_the_classes_are_others(data: Path, tmp_path: Path) -> None:
    config = replace(QUERIES_RECIPE.model, num_classes=3)
    file = tmp_path / "three.safetensors"
    sd.heads.save_model(sd.heads.create_model(config), file)
    model = sd.heads.create_model(replace(config, num_classes=5))
    report = sd.load_weights(model, file, new_classes=True)
    assert set(report.new) == {"classifier.weight", "classifier.bias"}


def test_a_toy_task_trains_evaluates_predicts_and_is_continued(data: Path, tmp_path: Path) -> None:
    run = train("toy_counting", data, tmp_path / "run")
    check_resume("toy_counting", data, run, tmp_path / "other")
    assert sd.tools.evaluate(run.last, data=data, workers=0) == run.metrics
    assert set(run.metrics) == {"accuracy"}
    check_files(sd.heads.from_checkpoint(run.last), tmp_path, data)
    sd.tools.predict(run.last, [data / "val2017"], out=tmp_path / "found")
    lines = (tmp_path / "found" / "counts.csv").read_text().splitlines()
    assert len(lines) == 3
    page = sd.tools.report(run.folder).read_text()
    assert "accuracy" in page


def test_a_command_is_a_file_in_their_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "count.py"
    file.write_text(COMMAND)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    COMMANDS["count"] = file
    assert cli.main([]) == 2
    assert re.search(
        " count +the number of files of each kind in a folder", capsys.readouterr().out
    )
    assert cli.main(["count", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == ["1", ".py"]
    assert sd.tools.count(tmp_path) == {".py": 1}
    assert cli.main(["count", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err.startswith("error: no folder")


def test_a_toy_format_is_recognised_trained_on_and_evaluated(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", num_train=6, num_val=2, size=64, seed=0)
    root = tmp_path / "table"
    root.mkdir()
    (root / "images").mkdir()
    for split, folder in (("train", "train2017"), ("val", "val2017")):
        shapes = CocoDetection(
            tmp_path / "shapes", folder, transforms=detection_eval((64, 64)), drop_empty=True
        )
        with (root / f"{split}.csv").open("w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["file", "x1", "y1", "x2", "y2", "name"])
            for index, file in enumerate(shapes.file_names):
                copy = root / "images" / f"{split}_{file}"
                copy.write_bytes((shapes.image_folder / file).read_bytes())
                objects = shapes.load_instances(index)
                for box, label in zip(objects.boxes, objects.labels, strict=True):
                    writer.writerow([copy.name, *box.tolist(), shapes.class_names[label]])
    fields = {"data.root": root, "data.train_split": "train", "data.val_split": "val"}
    run = sd.tools.train("toy_queries", fields, out=tmp_path / "run", workers=0, device="cpu")
    scores = sd.tools.evaluate(run.last, data=root, split="val", scale=(64, 64), workers=0)
    assert scores == run.metrics
    with pytest.raises(FileNotFoundError, match="no split 'test'"):
        sd.tools.evaluate(run.last, data=root, split="test", workers=0)


def test_the_page_shows_this_code() -> None:
    source = "\n\n\n".join(path.read_text() for path in (Path(__file__), *CODE.glob("*.py")))
    page = PAGE.read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 5
    for block in shown:
        ast.parse(block)
        for part in re.split(r"\n{3,}", block.strip("\n")):
            indented = "\n".join(f"    {line}" if line else line for line in part.splitlines())
            assert part in source or indented in source, part
