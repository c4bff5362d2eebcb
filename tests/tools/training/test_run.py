"""Training from data to files: what a run leaves, continuing to the bit, and what is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, WandBTracker
from torch import nn
from training_runs import BACKBONE, assert_same, detection_recipe, losses, small_options, weights

from swin_dense.backbone import SwinTransformer
from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.detection.config import MaskRCNNConfig
from swin_dense.tools.commands.train import choose_default, describe_choices
from swin_dense.tools.files import hold
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.runs.log import read_log
from swin_dense.tools.training import run as training
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root / "data", num_train=6, num_val=2, size=64, seed=0)
    return detection_recipe(root / "data", steps=5)


def _options(recipe: Recipe, out: Path, **changes: Any) -> Options:
    return small_options(recipe, out, **({"log_every": 2} | changes))


@pytest.fixture(scope="module")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of five steps that nothing interrupted."""
    out = tmp_path_factory.mktemp("finished")
    assert train(_options(recipe, out)) is not None
    return out


def test_a_run_leaves_weights_log_scores_and_recipe(finished: Path, recipe: Recipe) -> None:
    model = from_checkpoint(finished / "last" / "model.safetensors")
    assert model.class_names == ("circle", "square", "triangle", "star", "ring", "cross")
    assert model.config == replace(recipe.model, num_classes=6)
    lines = read_log(finished)
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 5]
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics) == ["bbox", "segm"]
    assert all(len(numbers) == 12 for numbers in metrics.values())
    assert json.loads((finished / "recipe.json").read_text())["batch_size"] == 2
    assert list((finished / "tensorboard").iterdir())
    assert [path.name for path in (finished / "evaluations").glob("*.json")] == [
        "step_00000005.json"
    ]
    assert "5 of 5 steps done" in (finished / "report.html").read_text()
    assert len((finished / "results.csv").read_text().splitlines()) == 1 + 3 + 1


def test_a_killed_run_continues_to_the_bit(
    finished: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _interrupt_after(patched, num_batches=4)
        with pytest.raises(KeyboardInterrupt):
            train(_options(recipe, tmp_path, save_every=3))
    assert (tmp_path / "last").resolve().name == "step_00000003"
    later = tmp_path / "evaluations" / "step_00000004.json"
    later.parent.mkdir()
    later.write_text("of the run that was cut off")
    evaluation = train(_options(recipe, tmp_path, save_every=3, resume=True))
    expected, continued = weights(finished), weights(tmp_path)
    assert_same(continued, expected)
    assert not later.exists()
    assert evaluation is not None
    assert evaluation.metrics == json.loads((finished / "metrics.json").read_text())


def test_an_evaluation_that_was_cut_off_is_made_up_for(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(recipe, steps=1)
    with monkeypatch.context() as patched:
        patched.setattr(training, "evaluate_model", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(_options(short, tmp_path))
    assert not (tmp_path / "metrics.json").exists()
    assert train(_options(short, tmp_path, resume=True)) is not None
    assert (tmp_path / "metrics.json").exists()


def test_a_backbone_file_starts_the_backbone(recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(5)
    backbone = SwinTransformer(BACKBONE)
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    optimizer = replace(recipe.optimizer, lr=1e-12)
    run = tmp_path / "run"
    train(
        _options(replace(recipe, steps=1, optimizer=optimizer), run, init=tmp_path / "backbone.pth")
    )
    weight = weights(run)["backbone.patch_embed.proj.weight"]
    assert torch.allclose(weight, backbone.patch_embed.proj.weight, atol=1e-9)


def test_a_whole_model_of_other_classes_needs_the_flag(
    finished: Path, recipe: Recipe, tmp_path: Path
) -> None:
    annotations = recipe.data.root / "annotations" / "instances_train2017.json"
    content = json.loads(annotations.read_text())
    data = tmp_path / "data"
    for split in ("train2017", "val2017"):
        (data / "annotations").mkdir(parents=True, exist_ok=True)
        (data / split).symlink_to(recipe.data.root / split)
        source = recipe.data.root / "annotations" / f"instances_{split}.json"
        content = json.loads(source.read_text())
        content["categories"] = content["categories"][:2]
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] <= 2]
        (data / "annotations" / source.name).write_text(json.dumps(content))
    two = replace(recipe, steps=1, data=replace(recipe.data, root=data))
    trained = finished / "last" / "model.safetensors"
    with pytest.raises(ValueError, match=r"does not fit .*--new-classes starts them anew"):
        train(_options(two, tmp_path / "refused", init=trained))
    train(_options(two, tmp_path / "run", init=trained, new_classes=True))
    model = from_checkpoint(tmp_path / "run" / "last" / "model.safetensors")
    assert model.class_names == ("circle", "square")


def test_a_tracker_that_fails_does_not_end_or_change_the_training(
    recipe: Recipe,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Failing(WandBTracker):
        def start(self) -> None:
            torch.rand(5)

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            assert values["data.root"] == str(recipe.data.root)

        @property
        def tracker(self) -> Any:
            return SimpleNamespace(id="x")

        def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
            raise ConnectionError("no network")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Failing)
    monkeypatch.setattr("swin_dense.tools.training.options.find_spec", lambda name: name)
    assert train(_options(recipe, tmp_path, track="wandb")) is not None
    said = capsys.readouterr().err
    assert said.count("--track wandb: figures could not be logged (ConnectionError: no netw") == 1
    assert_same(weights(tmp_path), weights(finished))


def test_a_mistyped_run_to_resume_is_not_made(recipe: Recipe, finished: Path) -> None:
    mistyped = finished.with_name(f"{finished.name}x")
    with pytest.raises(ValueError, match=f"--out names the run; .*{finished.name}"):
        train(_options(recipe, mistyped, resume=True))
    assert not mistyped.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resume": True}, r"--resume must find a checkpoint in .*empty, got none"),
        ({"accumulate": 3}, r"divisible by processes x --accumulate, got 2 and 1 x 3"),
        ({"precision": "fp16"}, "fp16 must have a GPU"),
    ],
)
def test_flags_that_cannot_work_are_refused(
    recipe: Recipe, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(_options(recipe, tmp_path / "empty", **changes))


def test_a_folder_that_holds_a_run_is_not_overwritten(finished: Path, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match=r"must not hold a run already.*use --resume"):
        train(_options(recipe, finished))


@pytest.mark.parametrize("name", ["log.jsonl", "last/model.pth"])
def test_what_others_left_in_the_folder_is_not_overwritten(
    recipe: Recipe, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("of another program")
    with pytest.raises(ValueError, match=f"for this run alone, got .* where {name[:4]}.* would be"):
        train(_options(recipe, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name.split("/")[0]]


def test_another_number_of_classes_than_the_datas_is_refused(
    recipe: Recipe, tmp_path: Path
) -> None:
    wrong = replace(recipe, model=replace(recipe.model, num_classes=7))
    with pytest.raises(ValueError, match=r"left out or be that of the data, got 7 and 6 classes"):
        train(_options(wrong, tmp_path))


def test_a_run_is_not_continued_with_another_recipe(finished: Path, recipe: Recipe) -> None:
    other = replace(recipe, optimizer=replace(recipe.optimizer, lr=0.5))
    with pytest.raises(ValueError, match=r"another optimizer.lr: 0.5 instead of"):
        train(_options(other, finished, resume=True))


def test_what_is_said_about_a_recipe_does_not_keep_a_run_from_being_continued(
    finished: Path, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    reworded = replace(recipe, source="elsewhere")
    assert train(_options(reworded, finished, resume=True)) is None
    assert "all 5 steps are done already" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"with --ema as before, got 0.5; .* holds no average"):
        train(_options(recipe, finished, resume=True, ema=0.5))


def test_a_folder_in_use_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(ValueError, match="in use by a live run"):
        train(_options(recipe, tmp_path))


def test_an_output_path_that_is_a_file_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="output folder must be writable"):
        train(_options(recipe, tmp_path / "file" / "run"))


def test_a_wrong_data_root_is_said(recipe: Recipe, tmp_path: Path) -> None:
    wrong = replace(recipe, data=replace(recipe.data, root=tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(_options(wrong, tmp_path / "run"))


def test_gradient_checkpointing_and_compiling_change_no_loss(
    finished: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(recipe.model, MaskRCNNConfig)
    backbone = replace(recipe.model.backbone, gradient_checkpointing=True)
    checkpointing = replace(recipe, model=replace(recipe.model, backbone=backbone))
    train(_options(checkpointing, tmp_path / "checkpointing"))
    assert losses(tmp_path / "checkpointing") == losses(finished)

    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    train(_options(recipe, tmp_path / "compiled", compile=True))
    assert [type(module) for module in compiled] == [SwinTransformer]
    assert losses(tmp_path / "compiled") == losses(finished)


@pytest.mark.slow
def test_a_compiled_backbone_learns_the_same(
    finished: Path, recipe: Recipe, tmp_path: Path
) -> None:
    data = replace(recipe.data, train_shorts=(64,))
    runs = []
    for name, is_compiled in (("plain", False), ("compiled", True)):
        options = _options(replace(recipe, data=data), tmp_path / name, compile=is_compiled)
        train(options)
        runs.append(options.run)
    for line, other in zip(losses(runs[0]), losses(runs[1]), strict=True):
        assert other == pytest.approx(line, rel=1e-3)
    assert weights(runs[0]).keys() == weights(runs[1]).keys()


def test_a_recipe_name_gives_the_defaults_and_its_folder() -> None:
    options = choose_default(["mask_rcnn_swin_t_coco_1x"])[0]
    assert options.recipe.epochs == 12
    assert options.run == Path("runs/mask_rcnn_swin_t_coco_1x")
    assert "mask_rcnn_swin_s_coco_3x" in describe_choices()


def _interrupt_after(patched: pytest.MonkeyPatch, *, num_batches: int) -> None:
    loader = training.training_loader

    def cut_off(*arguments: Any, **options: Any) -> Iterator[Any]:
        for index, batch in enumerate(loader(*arguments, **options)):
            if index == num_batches:
                raise KeyboardInterrupt
            yield batch

    patched.setattr(training, "training_loader", cut_off)


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
