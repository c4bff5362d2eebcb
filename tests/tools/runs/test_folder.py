"""A run read from its folder: its task, its length, words about it, and what is no run."""

import json
from pathlib import Path
from typing import Any

import pytest
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.runs.folder import (
    describe_progress,
    describe_run,
    read_run,
    with_known_scale,
)
from swin_dense.tools.runs.names import suggest_runs
from swin_dense.tools.task_flags import DetectionEvaluation, PanopticEvaluation


@pytest.mark.parametrize("names_task", [True, False])
def test_the_task_is_named_or_seen_by_the_fields_of_the_data(
    tmp_path: Path, names_task: bool
) -> None:
    for name, made in (
        ("detection", detection_evaluation()),
        ("segmentation", segmentation_evaluation()),
    ):
        run = read_run(write_run(tmp_path / name, made, names_task=names_task))
        assert run.task.name == name


def test_fields_of_version_0_1_are_of_segmentation(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", segmentation_evaluation(), names_task=False)
    recipe = json.loads((folder / "recipe.json").read_text())
    data = recipe["data"]
    data["zero_is_ignored"] = data.pop("reduce_zero_label")
    data["max_class_share"] = data.pop("cat_max_ratio")
    (folder / "recipe.json").write_text(json.dumps(recipe))
    assert read_run(folder).task.name == "segmentation"


def test_a_task_that_is_not_known_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", detection_evaluation()))
    run.recipe["task"] = "pose"
    with pytest.raises(ValueError, match="unknown task 'pose'; choose one of detection, segment"):
        _ = run.task


def test_a_run_is_described_in_words(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", detection_evaluation()))
    assert describe_run(run) == (
        "Recipe tiny_recipe, 2 images a step, learning rate 0.1, seed 0; trained on train and "
        "evaluated on val of data: 12 images, 3 classes."
    )
    assert describe_progress(run) == "10 of 100 steps done; scores are of step 10."
    assert run.published == {}
    assert run.name == "run"


def test_published_scores_are_fractions(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", published=[("box AP", 46.0)]))
    assert run.published == {"box AP": pytest.approx(0.46)}
    assert describe_progress(run) == "0 of 100 steps done."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it has no recipe.json"),
        ("{", "cannot be read as a recipe: JSONDecodeError"),
        ({"name": "a"}, "cannot be read as a recipe: KeyError 'data'"),
        ({"name": "a", "data": []}, "name or data is of another kind"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_run(tmp_path)


def test_runs_beside_a_path_that_is_none_are_named_the_nearest_first(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no such folder; the runs there are: \S*/gamma, \S*/al"):
        read_run(tmp_path / "gama")
    with pytest.raises(ValueError, match=r"it has no recipe.json; the runs there are: \S*/alpha, "):
        read_run(tmp_path)
    assert suggest_runs(tmp_path / "alpha" / "last") == ""


def test_weights_are_resized_for_as_their_run_or_published_recipe_does(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", detection_evaluation())
    weights = folder / "last" / "model.safetensors"
    weights.parent.mkdir(exist_ok=True)
    plain = DetectionEvaluation()
    assert with_known_scale(plain, weights).scale == (1333, 800)
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["data"]["scale"] = [96, 64]
    (folder / "recipe.json").write_text(json.dumps(recipe))
    for known in (weights, weights.parent):
        assert with_known_scale(plain, known).scale == (96, 64)
    assert with_known_scale(DetectionEvaluation(scale=(8, 4)), weights).scale == (8, 4)
    assert with_known_scale(DetectionEvaluation(tiles=64, overlap=0), weights).scale is None
    published = Path("mask2former_swin_l_ade20k_panoptic")
    assert with_known_scale(PanopticEvaluation(), published).scale == (2560, 640)
