"""Training as a function: fields of the recipe by dotted names, flags as keywords."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_runs import detection_recipe

import swin_dense as sd
from swin_dense.configs import SWIN_VARIANTS
from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.commands.train import Run
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.training import run as training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    return write_shapes(root / "data", num_train=4, num_val=2, size=64, seed=0)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a recipe whose data is nowhere."""
    monkeypatch.setitem(RECIPES, "tiny", detection_recipe(Path("nowhere"), steps=9))
    return "tiny"


def test_a_run_has_its_weights_and_its_scores(tiny: str, data: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    flags: dict[str, Any] = {"workers": 0, "device": "cpu", "ema": 0.9, "log_every": 1}
    run = sd.tools.train(tiny, {"data.root": str(data), "steps": 2}, out=out, **flags)
    assert run.folder == tmp_path / "run"
    assert list(run.metrics) == ["bbox", "segm"]
    assert run.best == run.folder / "best" / "ema.safetensors"  # which the scores are of
    assert run.last == run.folder / "last" / "ema.safetensors"
    assert from_checkpoint(run.best).class_names is not None
    scores = sd.tools.evaluate(run.best, data=data, scale=(64, 64), workers=0, device="cpu")
    assert scores == run.metrics
    with pytest.raises(ValueError, match="must not hold a run already"):
        sd.tools.train(tiny, {"data.root": data}, out=out, **flags)


def test_a_look_before_a_run_gives_no_scores(tiny: str, data: Path, tmp_path: Path) -> None:
    fields = {"data.root": data}
    run = sd.tools.train(
        tiny, fields, out=tmp_path / "run", check_only=True, workers=0, device="cpu"
    )
    assert run == Run(tmp_path / "run", None)
    assert not run.last.exists()


def test_a_recipe_that_is_in_no_table_is_trained_too(data: Path, tmp_path: Path) -> None:
    recipe = replace(detection_recipe(data, steps=1), name="of_a_user")
    run = sd.tools.train(recipe, out=tmp_path / "run", workers=0, device="cpu")
    assert run.metrics is not None


def test_a_backbone_by_name_or_config_comes_before_its_fields(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(training, "train", lambda options: seen.append(options.recipe))
    recipe = detection_recipe(data, steps=1)
    for backbone in ("swin_s", SWIN_VARIANTS["swin_s"]):
        fields = {"model.backbone.window_size": 5, "model.backbone": backbone}
        sd.tools.train(recipe, fields, out=tmp_path)
    by_name, by_config = (made.model.backbone for made in seen)
    assert (by_name.depths, by_name.window_size) == ((2, 2, 18, 2), 5)
    assert by_config == replace(SWIN_VARIANTS["swin_s"], window_size=5)
    assert by_name.drop_path_rate == recipe.model.backbone.drop_path_rate
    with pytest.raises(ValueError, match=r"model\.backbone must be BackboneConfig, got 3"):
        sd.tools.train(recipe, {"model.backbone": 3}, out=tmp_path)


def test_without_averaged_weights_the_files_are_the_weights(tmp_path: Path) -> None:
    run = Run(tmp_path, None)
    assert run.best == tmp_path / "best" / "model.safetensors"
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "ema.safetensors").write_text("")
    assert run.best.name == "ema.safetensors"
    assert run.last.name == "model.safetensors"


def test_one_process_trains_in_one_number_format_after_the_other(
    tiny: str, data: Path, tmp_path: Path
) -> None:
    fields = {"data.root": data, "steps": 1}
    for precision in ("bf16", "fp32"):
        flags: dict[str, Any] = {"precision": precision, "workers": 0, "device": "cpu"}
        run = sd.tools.train(tiny, fields, out=tmp_path / precision, **flags)
        assert run.metrics is not None


@pytest.mark.parametrize(
    ("fields", "flags", "message"),
    [
        ({"data.rot": "d"}, {}, "unknown field 'data.rot'; near it are data.root"),
        ({"lr": 0.1}, {}, "unknown field 'lr'; near it are optimizer.lr"),
        ({"steps": "many"}, {}, "steps must be int or None, got 'many'"),
        ({"steps": 0}, {}, "steps must be at least 1, got 0"),
        ({}, {"worker": 0}, "unknown field 'worker'; near it are workers"),
        ({}, {"keep": 0}, "--keep must be at least 1, got 0"),
        ({}, {"precision": "fp8"}, "precision must be 'auto' or 'bf16' or 'fp16' or 'fp32'"),
    ],
)
def test_names_and_values_are_checked_before_the_work(
    fields: dict[str, Any], flags: dict[str, Any], message: str, tiny: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sd.tools.train(tiny, fields, **flags)


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'nope'; choose one of mask_rcnn_swin_t"):
        sd.tools.train("nope")
