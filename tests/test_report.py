"""The report: one file, nothing fetched, nothing unescaped."""

import re
from pathlib import Path

import numpy as np

from swin_dense.tools import report


def test_the_page_holds_its_blocks_and_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    blocks = [
        report.heading("Scores"),
        report.paragraph("of <100> images"),
        report.table(["score", "value"], [["AP50", 0.8125], ["a & b", "none"]]),
        report.curves({"loss": ([1, 2], [3.0, 2.5])}, x_name="step", y_name="loss"),
        report.picture(np.zeros((4, 4, 3), np.uint8), 'image "1"'),
    ]
    report.write_report(path, "Run <1>", blocks)
    page = path.read_text()
    assert "<title>Run &lt;1&gt;</title>" in page
    assert "of &lt;100&gt; images" in page
    assert "<td>0.812</td>" in page
    assert "<td>a &amp; b</td>" in page
    assert page.count("<svg") == 1
    assert "data:image/jpeg;base64," in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_chart_without_lines_is_still_a_chart() -> None:
    assert "<svg" in report.curves({}, x_name="step", y_name="loss")
