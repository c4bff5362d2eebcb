"""Classifiers from data to a detector that starts from one; killed runs go on to the bit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import BACKBONE, assert_same, detection_recipe, small_options, weights

from swin_dense.datasets.drawn.shape_classes import write_shape_classes
from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads import ClassifierConfig, create_model
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools import evaluate, predict
from swin_dense.tools.commands.train import train as train_command
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.run import train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "classes"
    return write_shape_classes(folder, num_train=12, num_val=10, size=32)


def _recipe(root: Path, *, steps: int) -> Recipe:
    """Everything that the published recipes do, on a few thousand weights."""
    recipe = find_recipe("classifier_swin_t_imagenet_300e")
    return replace(
        recipe,
        model=ClassifierConfig(backbone=replace(BACKBONE, drop_path_rate=0.2)),
        data=replace(recipe.data, root=root, size=32, scale=(36, 32)),
        batch_size=4,
        steps=steps,
    )


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    evaluation = train(small_options(_recipe(root, steps=4), out))
    assert evaluation is not None
    assert list(evaluation.metrics)[:3] == ["top1", "top5", "mean_top1"]
    return out


def test_a_run_leaves_scores_pictures_and_a_report(run: Path) -> None:
    assert json.loads((run / "metrics.json").read_text())["images"] == [1] * 10
    page = (run / "report.html").read_text()
    for words in ("top-1", "top-5", "published 81.2", "crescent", "Best and worst images"):
        assert words in page, words
    assert "1 label" in (run / "samples.html").read_text()


def test_a_run_that_was_stopped_goes_on_to_the_bit(run: Path, root: Path, tmp_path: Path) -> None:
    first = small_options(_recipe(root, steps=4), tmp_path / "cut", save_every=2, keep=9)
    train(first)
    for step in (3, 4):  # as if it had been killed after step 2
        folder = tmp_path / "cut" / f"step_{step:08d}"
        if folder.is_dir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    last = tmp_path / "cut" / "last"
    last.unlink()
    last.symlink_to("step_00000002")
    train(replace(first, resume=True))
    assert_same(weights(tmp_path / "cut"), weights(run))


def test_the_file_is_evaluated_and_predicts_as_it_was_trained(
    run: Path, root: Path, tmp_path: Path
) -> None:
    file = run / "last" / "model.safetensors"
    model = from_checkpoint(file)
    assert (model.config.view.resize, model.config.view.crop) == (36, 32)
    metrics = evaluate(file, data=root, workers=0, device="cpu", json=tmp_path / "scores.json")
    assert metrics == json.loads((run / "metrics.json").read_text())
    assert metrics == json.loads((tmp_path / "scores.json").read_text())
    out = predict(file, root / "val" / "heart", out=tmp_path / "found", device="cpu", top=3)
    content = json.loads((out / "predictions.json").read_text())
    assert len(content["images"]) == 1
    assert len(content["images"][0]["top"]) == 3
    assert list((out / "overlays").glob("*.jpg"))


def test_a_detector_starts_from_the_run_of_a_classifier(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_shapes(tmp_path / "data", num_train=2, num_val=1, size=64)
    recipe = detection_recipe(data, steps=1)
    options = small_options(recipe, tmp_path / "detector")
    flags = {"out": options.out, "workers": 0, "device": "cpu", "init": run, "check_only": True}
    assert train_command(recipe, **flags).metrics is None
    notes = capfd.readouterr().err
    assert "start anew: 8 (norm0, norm1, norm2, norm3)" in notes
    assert "not used: 4 (norm, head)" in notes


def test_only_what_a_detector_has_too_is_taken_over(run: Path) -> None:
    from swin_dense.checkpoints.loading import initialise

    source = weights(run)
    model = create_model(detection_recipe(Path("none"), steps=1).model)
    norm = model.backbone.norm3.weight.clone()
    initialise(model, source)
    for name, value in model.backbone.state_dict().items():
        if name.startswith("norm"):
            continue
        assert torch.equal(value, source[f"backbone.{name}"]), name
    assert torch.equal(model.backbone.norm3.weight, norm)
