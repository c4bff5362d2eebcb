"""The page of a comparison: figures with deviations, paired differences, what is missing."""

from pathlib import Path
from typing import Any

import pytest
from browser_tabs import look_at
from compared_runs import tiny_plan, write_finished_run

from swin_dense.tools.compare.page import as_table, write_comparison
from swin_dense.tools.compare.plan import Plan
from swin_dense.tools.compare.results import read_results
from swin_dense.tools.console import Console

_PROBE = """() => ({
  sections: [...document.querySelectorAll("details.section h2")].map(e => e.textContent),
  charts: [...document.querySelectorAll("figure svg")].map(e => e.getBoundingClientRect().width),
  overflow: document.documentElement.scrollWidth - innerWidth,
})"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = tiny_plan(tmp_path, tmp_path)
    for run, score in zip(plan.runs, (0.5, 0.2, 0.7, 0.6), strict=True):
        write_finished_run(run.folder, [0.1, score], seconds=1.5)
    return plan


def test_the_page_has_means_deviations_and_differences_of_the_same_seed(plan: Plan) -> None:
    page = write_comparison(read_results(plan)).read_text()
    for words in (
        "<h1>classifier_demo: activation</h1>",
        "trained with each model.backbone.activation: gelu, relu; 2 seeds (0, 1)",
        "<td>mIoU</td><td>60.0 ± 14.1</td><td>40.0 ± 28.3</td><td>−20.0 ± 14.1</td>",  # noqa: RUF001
        "<th>relu less gelu</th>",
        "<td>gelu</td><td>1.500 ± 0.000</td><td>512 ± 0</td>",
        "<td>relu_seed_1</td><td>relu</td><td>1</td><td>60.0</td>",
    ):
        assert words in page, words
    assert "not finished" not in page


def test_each_chart_has_a_thick_line_a_variant_and_a_thin_one_a_run(plan: Plan) -> None:
    page = write_comparison(read_results(plan)).read_text()
    loss = page[page.index("<h3>Loss</h3>") :].partition("</figure>")[0]
    assert loss.count("stroke-opacity: 0.4") == 4
    assert loss.count("stroke-width: 1.7") == 2
    assert "gelu</span>" in loss


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    plan = tiny_plan(tmp_path, tmp_path)
    assert "4 of 4 runs are not finished" in write_comparison(read_results(plan)).read_text()
    write_finished_run(plan.runs[0].folder, [0.5], seconds=1)
    results = read_results(plan)
    page = write_comparison(results).read_text()
    assert "3 of 4 runs are not finished: relu, seed 0; gelu, seed 1; relu, seed 1." in page
    assert "50.0 ±" not in page  # one run has no deviation
    console = Console(width=100)
    with console.capture() as printed:
        console.print(as_table(results))
    assert "not finished" in printed.get()


def test_the_table_of_the_terminal_has_a_row_for_each_variant(plan: Plan) -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(as_table(read_results(plan)))
    lines = printed.get().splitlines()
    row = next(line for line in lines if "relu" in line)
    assert "40.0 ± 28.3" in row
    assert "1.500 ± 0.000" in row


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_page_and_asks_for_nothing(
    browser: Any, plan: Plan, width: int
) -> None:
    found = look_at(browser, write_comparison(read_results(plan)), _PROBE, width=width)
    assert found["sections"] == ["Scores", "Training", "Time and memory", "Runs"]
    assert len(found["charts"]) >= 2
    assert all(drawn > 300 for drawn in found["charts"])
    assert found["overflow"] <= 0
    assert found["requests"] == []
