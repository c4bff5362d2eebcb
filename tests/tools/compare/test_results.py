"""Results: hand-worked means, deviations and differences; files that programs read."""

import csv
import json
from pathlib import Path

import pytest
from compared_runs import tiny_plan, write_finished_run

from swin_dense.heads import ClassifierConfig, create_model
from swin_dense.tools.compare.results import Spread, read_results, write_results


def test_mean_and_sample_deviation() -> None:
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(mean=2.0, deviation=1.0)
    assert Spread.of([4.0]) == Spread(mean=4.0, deviation=None)
    for absent in ([], [1.0, None], [1.0, -1.0]):
        assert Spread.of(absent) == Spread(mean=None, deviation=None)


def test_differences_are_of_pairs() -> None:
    assert Spread.of_differences([(1.0, 0.0), (2.0, 3.0)]).mean == 0.0
    assert Spread.of_differences([(1.0, 0.0), (3.0, 0.0)]).mean == -2.0
    assert Spread.of_differences([(1.0, None)]).mean is None


def test_figures_of_each_variant_are_those_of_its_runs(tmp_path: Path) -> None:
    plan = tiny_plan(tmp_path, tmp_path)
    for run, score, seconds in zip(plan.runs, (0.5, 0.2, 0.7, 0.4), (1, 2, 3, 4), strict=True):
        write_finished_run(run.folder, [0.1, score], seconds=seconds)
    data = write_results(read_results(plan))
    gelu, relu = data["variants"]
    assert gelu["scores"]["mIoU"]["mean"] == pytest.approx(0.6)
    assert gelu["scores"]["mIoU"]["deviation"] == pytest.approx(0.02**0.5)
    assert relu["seconds_per_step"]["mean"] == 3
    assert relu["memory_mib"] == {"mean": 512.0, "deviation": 0.0}
    assert relu["loss"]["mean"] == 2 / 20
    model = create_model(ClassifierConfig(backbone=plan.runs[0].options.recipe.model.backbone))
    assert gelu["parameters"] == sum(p.numel() for p in model.parameters())
    assert gelu["runs"][0]["curves"]["mIoU"] == [[10, 0.1], [20, 0.5]]
    assert gelu["runs"][0]["curves"]["loss"][-1] == [20, 0.1]
    assert json.loads((tmp_path / "comparison.json").read_text()) == data
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    assert [row["folder"] for row in rows] == [
        *("gelu_seed_0", "gelu_seed_1", "relu_seed_0", "relu_seed_1")
    ]
    assert rows[3]["model.backbone.activation"] == "relu"
    assert float(rows[3]["mIoU"]) == 0.4


def test_what_is_not_finished_has_no_figures(tmp_path: Path) -> None:
    plan = tiny_plan(tmp_path, tmp_path)
    assert read_results(plan).headline == []
    run = write_finished_run(plan.runs[0].folder, [0.5], seconds=1)
    lines = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # stopped before the evaluation
    data = write_results(read_results(plan))
    assert [variant["runs"] for variant in data["variants"]] == [[], []]
    assert data["variants"][0]["loss"] == {"mean": None, "deviation": None}
