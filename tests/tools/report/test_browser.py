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
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=2000"),
)
# The page forbids scripts; a copy that does not tells what the browser made of it.
_PROBE = """<script>
addEventListener("load", () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const found = {
    sections: all("h2").map(element => element.textContent),
    pictures: all("img").map(element => element.naturalWidth),
    charts: all("figure svg").map(element => element.getBoundingClientRect().width),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    overflow: document.documentElement.scrollWidth - innerWidth,
  };
  const output = document.createElement("pre");
  output.id = "probe";
  output.textContent = JSON.stringify(found);
  document.body.append(output);
});
</script>"""


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


def _probe(browser: str, page: Path, folder: Path, *, width: int) -> dict[str, Any]:
    copy = folder / "probed.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page.read_text())
    copy.write_text(text.replace("</body>", f"{_PROBE}</body>"))
    dom, console = _open(browser, copy, folder / "profile", f"--window-size={width},900")
    assert console == ""
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, flags=re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("width", [1300, 500])
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
    assert len(found["pictures"]) == 8
    assert all(natural > 0 for natural in found["pictures"])
    assert all(drawn > 300 for drawn in found["charts"])
    assert found["requests"] == []
    assert found["overflow"] <= 0


def test_a_browser_shows_a_comparison(browser: str, tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", detection_evaluation(0.25))
    second = write_run(tmp_path / "second", detection_evaluation(0.5))
    page = write_run_report([first, second], tmp_path / "comparison.html")
    found = _probe(browser, page, tmp_path, width=1300)
    assert len(found["charts"]) == 4 + 2 + 6
    assert found["requests"] == []
    assert found["overflow"] <= 0


def test_many_classes_stay_inside_a_narrow_window(browser: str, tmp_path: Path) -> None:
    many = [f"class number {place}" for place in range(150)]
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation(names=many))])
    found = _probe(browser, page, tmp_path, width=500)
    assert len(found["pictures"]) == 8 + 1
    assert all(natural > 0 for natural in found["pictures"])
    assert found["overflow"] <= 0


def test_the_page_itself_is_free_of_complaints(browser: str, tmp_path: Path) -> None:
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation())])
    dom, console = _open(browser, page, tmp_path / "profile")
    assert "Best and worst images" in dom
    assert console == ""
