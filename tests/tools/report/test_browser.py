"""The report in a browser: its sections are there, its pictures load, it asks for nothing."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.report.run_report import write_run_report

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_DARK = "--blink-settings=preferredColorScheme=0"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=2000"),
)
# The page forbids scripts; a copy that does not tells the page around it what the browser made of
# it. That page has a frame, since a window is never narrower than some 500 px.
_PROBE = """<script>
addEventListener("load", () => {
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
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    overflow: document.documentElement.scrollWidth - innerWidth,
    width: document.documentElement.clientWidth,
    height: document.documentElement.scrollHeight,
    smallest_text: Math.min(...texts),
    ground: style(document.body).backgroundColor,
    ink: style(document.body).color,
    chart_ink: all("figure svg text").map(element => style(element).fill),
  };
  scrollTo(0, 2000);
  requestAnimationFrame(() => {
    const nav = document.querySelector("nav").getBoundingClientRect();
    found.contents_top = nav.top;
    found.contents_width = nav.width;
    parent.postMessage(JSON.stringify(found), "*");
  });
});
</script>"""
_FRAME = """<!doctype html><script>
addEventListener("message", event => {
  const output = document.createElement("pre");
  output.id = "probe";
  output.textContent = event.data;
  document.body.append(output);
});
</script><body><iframe src="probed.html" style="width: %dpx; height: 900px; border: 0"></iframe>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = [path for path in map(shutil.which, _BROWSERS) if path]
    if not found:
        pytest.skip(f"needs a browser: one of {', '.join(_BROWSERS)} on the PATH")
    return found[0]


def _open(browser: str, page: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """The page after it has loaded, and what the browser says on its console."""
    done = subprocess.run(
        [browser, *_FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def _probe(browser: str, page: Path, folder: Path, *flags: str, width: int) -> dict[str, Any]:
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page.read_text())
    (folder / "probed.html").write_text(text.replace("</body>", f"{_PROBE}</body>"))
    frame = folder / "frame.html"
    frame.write_text(_FRAME % width)
    dom, console = _open(browser, frame, folder / "profile", "--window-size=1400,1000", *flags)
    assert console == ""
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, flags=re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_browser_shows_the_report_and_asks_for_nothing(
    browser: str, task: str, width: int, tmp_path: Path
) -> None:
    make = detection_evaluation if task == "detection" else segmentation_evaluation
    page = write_run_report([write_run(tmp_path / "run", make(0.25), make(0.5))])
    found = _probe(browser, page, tmp_path, width=width)
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
    browser: str, width: int, tmp_path: Path
) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    found = _probe(browser, page, tmp_path, width=width)
    assert found["contents_top"] == 0  # after scrolling
    is_narrow = width == 400
    assert (found["contents_width"] == found["width"]) == is_narrow
    assert is_narrow or found["contents_width"] < 200


def test_pictures_are_small_until_they_are_opened(browser: str, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    found = _probe(browser, page, tmp_path, width=1280)
    assert found["thumbnail"] < 300
    assert found["enlarged"] > 2 * found["thumbnail"]
    assert found["height"] < 4500


def test_the_page_is_dark_where_the_reader_wants_it_dark(browser: str, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    light = _probe(browser, page, tmp_path, width=1280)
    dark = _probe(browser, page, tmp_path, _DARK, width=1280)
    for found, is_dark in ((light, False), (dark, True)):
        assert (_lightness(found["ground"]) < 40) == is_dark
        for ink in {found["ink"], *found["chart_ink"]}:
            assert abs(_lightness(ink) - _lightness(found["ground"])) > 110


def _lightness(colour: str) -> float:
    """Mean of the parts of `rgb(1, 2, 3)`."""
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    return sum(parts) / 3


def test_a_browser_shows_a_comparison(browser: str, tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", detection_evaluation(0.25))
    second = write_run(tmp_path / "second", detection_evaluation(0.5))
    page = write_run_report([first, second], tmp_path / "comparison.html")
    found = _probe(browser, page, tmp_path, width=1280)
    assert len(found["charts"]) == 1 + 6  # scores are of one evaluation, and speed is constant
    assert found["requests"] == []
    assert found["overflow"] <= 0


def test_many_classes_stay_inside_a_narrow_window(browser: str, tmp_path: Path) -> None:
    many = [f"class number {place}" for place in range(150)]
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation(names=many))])
    found = _probe(browser, page, tmp_path, width=400)
    assert len(found["pictures"]) == 8 + 1
    assert all(natural > 0 for natural in found["pictures"])
    assert found["overflow"] <= 0
    assert found["smallest_text"] >= 12


def test_the_page_itself_is_free_of_complaints(browser: str, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    dom, console = _open(browser, page, tmp_path / "profile")
    assert "Best and worst images" in dom
    assert console == ""
