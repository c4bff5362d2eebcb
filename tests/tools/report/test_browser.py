"""The report in a browser: its sections are there, its pictures load, it asks for nothing."""

import re
from pathlib import Path
from typing import Any

import pytest
from browser_tabs import look_at
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.report.run_report import write_run_report

_PROBE = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const style = element => getComputedStyle(element);
  const size = element => parseFloat(style(element).fontSize);
  const texts = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    if (element.closest("style, script")) continue;
    const matrix = element.ownerSVGElement ? element.getScreenCTM() : {a: 1, b: 0};
    texts.push(Math.hypot(matrix.a, matrix.b) * size(element));
  }
  const links = all("nav a");
  const zoomed = all(".picture")[0];
  const before = zoomed ? zoomed.querySelector("img").getBoundingClientRect().width : 0;
  if (zoomed) zoomed.open = true;
  const opened = zoomed ? zoomed.querySelector("img").getBoundingClientRect().width : 0;
  if (zoomed) zoomed.open = false;
  const found = {
    sections: all("details.section > summary > h2").map(element => element.textContent),
    are_open: all("details.section").map(element => element.open),
    contents: links.map(link => link.textContent),
    lead_nowhere: links.filter(link => !document.querySelector(link.hash)).length,
    pictures: all("img").map(element => element.naturalWidth),
    thumbnail: before,
    enlarged: opened,
    charts: all("figure svg").map(element => element.getBoundingClientRect().width),
    overflow: document.documentElement.scrollWidth - innerWidth,
    width: document.documentElement.clientWidth,
    height: document.documentElement.scrollHeight,
    smallest_text: Math.min(...texts),
    ground: style(document.body).backgroundColor,
    ink: style(document.body).color,
    chart_ink: all("figure svg text").map(element => style(element).fill),
  };
  scrollTo(0, 2000);
  return new Promise(resolve => requestAnimationFrame(() => {
    const nav = document.querySelector("nav").getBoundingClientRect();
    found.contents_top = nav.top;
    found.contents_width = nav.width;
    resolve(found);
  }));
}"""


def _look_at(browser: Any, page: Path, *, width: int, colours: str = "light") -> dict[str, Any]:
    return look_at(browser, page, _PROBE, width=width, colours=colours)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_browser_shows_the_report_and_asks_for_nothing(
    browser: Any, task: str, width: int, tmp_path: Path
) -> None:
    make = detection_evaluation if task == "detection" else segmentation_evaluation
    page = write_run_report([write_run(tmp_path / "run", make(0.25), make(0.5))])
    found = _look_at(browser, page, width=width)
    assert found["sections"] == [
        *("Training", "Scores", "Classes", "Precision and recall"),
        *("Confusion matrix", "Best and worst images"),
    ]
    assert found["contents"] == found["sections"]
    assert found["lead_nowhere"] == 0
    assert all(found["are_open"])
    assert len(found["pictures"]) == 8
    assert all(natural > 0 for natural in found["pictures"])
    assert all(drawn > 300 for drawn in found["charts"])
    assert found["requests"] == []
    assert found["overflow"] <= 0
    assert found["smallest_text"] >= 12


@pytest.mark.parametrize("width", [1280, 400])
def test_the_contents_stay_in_view_beside_the_page_or_above_it(
    browser: Any, width: int, tmp_path: Path
) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    found = _look_at(browser, page, width=width)
    assert found["contents_top"] == 0  # after scrolling
    is_narrow = width == 400
    assert (found["contents_width"] == found["width"]) == is_narrow
    assert is_narrow or found["contents_width"] < 200


def test_pictures_are_small_until_they_are_opened(browser: Any, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    found = _look_at(browser, page, width=1280)
    assert found["thumbnail"] < 300
    assert found["enlarged"] > 2 * found["thumbnail"]
    assert found["height"] < 4500


def test_the_page_is_dark_where_the_reader_wants_it_dark(browser: Any, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    light = _look_at(browser, page, width=1280)
    dark = _look_at(browser, page, width=1280, colours="dark")
    for found, is_dark in ((light, False), (dark, True)):
        assert (_lightness(found["ground"]) < 40) == is_dark
        for ink in {found["ink"], *found["chart_ink"]}:
            assert abs(_lightness(ink) - _lightness(found["ground"])) > 110


def _lightness(colour: str) -> float:
    """Mean of the parts of `rgb(1, 2, 3)`."""
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    return sum(parts) / 3


def test_a_browser_shows_a_comparison(browser: Any, tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", detection_evaluation(0.25))
    second = write_run(tmp_path / "second", detection_evaluation(0.5))
    page = write_run_report([first, second], tmp_path / "comparison.html")
    found = _look_at(browser, page, width=1280)
    assert len(found["charts"]) == 1 + 6  # scores are of one evaluation, and speed is constant
    assert found["requests"] == []
    assert found["overflow"] <= 0


def test_many_classes_stay_inside_a_narrow_window(browser: Any, tmp_path: Path) -> None:
    many = [f"class number {place}" for place in range(150)]
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation(names=many))])
    found = _look_at(browser, page, width=400)
    assert len(found["pictures"]) == 8 + 1
    assert all(natural > 0 for natural in found["pictures"])
    assert found["overflow"] <= 0
    assert found["smallest_text"] >= 12
