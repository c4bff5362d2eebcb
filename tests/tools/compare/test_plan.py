"""Plan of a comparison: seeds, folders, and that another one is not continued."""

import json
from pathlib import Path

import pytest
from compared_runs import tiny_plan

from swin_dense.tools.compare.plan import Plan, keep_arguments

ACTIVATION = "model.backbone.activation"


def _keep_with_a_run(plan: Plan) -> None:
    plan.out.mkdir(exist_ok=True)
    keep_arguments(plan)
    plan.runs[0].folder.mkdir()
    (plan.runs[0].folder / "recipe.json").write_text("{}")


def test_each_seed_is_trained_with_every_variant_before_the_next(tmp_path: Path) -> None:
    plan = tiny_plan(tmp_path, tmp_path / "out", num_seeds=2)
    assert [run.folder.name for run in plan.runs] == [
        *("gelu_seed_0", "relu_seed_0", "gelu_seed_1", "relu_seed_1")
    ]
    assert [run.options.recipe.seed for run in plan.runs] == [0, 0, 1, 1]
    assert [run.options.recipe.model.backbone.activation for run in plan.runs][:2] == [
        *("gelu", "relu")
    ]
    assert [run.title for run in plan.runs_of(plan.variants[1])] == ["relu, seed 0", "relu, seed 1"]


def test_a_run_is_evaluated_eight_times_where_it_would_be_only_at_its_end(tmp_path: Path) -> None:
    assert tiny_plan(tmp_path, tmp_path, steps=17).runs[0].options.evaluate_every == 3
    plan = tiny_plan(tmp_path, tmp_path, steps=17, evaluate_every=0)
    assert plan.runs[0].options.evaluate_every == 0


def test_names_of_folders_are_plain_and_differ(tmp_path: Path) -> None:
    varied = {"data.root": ["a/b", "a_b", "../é", "A_B"], "data.scale": [(32, 32), (48, 32)]}
    plan = tiny_plan(tmp_path, tmp_path, varied=varied, num_seeds=1)
    assert [run.folder.name for run in plan.runs] == [
        *("a_b_32_32_seed_0", "a_b_48_32_seed_0", "a_b_32_32_2_seed_0", "a_b_48_32_2_seed_0"),
        *("32_32_seed_0", "48_32_seed_0", "A_B_32_32_3_seed_0", "A_B_48_32_3_seed_0"),
    ]


def test_the_same_arguments_are_continued_whatever_changes_no_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _keep_with_a_run(tiny_plan(tmp_path, out))
    stored = (out / "arguments.json").read_text()
    keep_arguments(tiny_plan(tmp_path, out, workers=3, save_every=7, keep=5))
    assert (out / "arguments.json").read_text() == stored
    assert json.loads(stored)["vary"] == {ACTIVATION: ["gelu", "relu"]}


def test_other_arguments_are_refused_once_there_is_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    keep_arguments(tiny_plan(tmp_path, out, steps=9))  # nothing came of it
    _keep_with_a_run(tiny_plan(tmp_path, out))
    silu = {ACTIVATION: ["gelu", "silu"]}
    for plan, words in (
        (tiny_plan(tmp_path, out, varied=silu), r"another vary.*'silu'\] instead of \['gelu', 'r"),
        (tiny_plan(tmp_path, out, num_seeds=3), r"another seeds: \[0, 1, 2\] instead of \[0, 1\]"),
        (tiny_plan(tmp_path, out, ema=0.9), "another flags.ema: 0.9 instead of None"),
        (tiny_plan(tmp_path, out, steps=5), "another flags.evaluate|another recipes.gelu.steps: 5"),
    ):
        with pytest.raises(ValueError, match=f"{words}.*in .*out; choose another --out"):
            keep_arguments(plan)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match=r"for this comparison alone, got .* has recipe.json"):
        keep_arguments(tiny_plan(tmp_path, tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    (other / "arguments.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"arguments.json cannot be read"):
        keep_arguments(tiny_plan(tmp_path, other))
