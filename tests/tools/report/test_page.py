"""The page: one file, nothing fetched, nothing unescaped."""

import re
from pathlib import Path

import numpy as np

from swin_dense.tools.report import page
from swin_dense.tools.tasks.drawing import save_picture


def test_the_page_holds_its_blocks_and_fetches_nothing(tmp_path: Path) -> None:
    image = tmp_path / "image.jpg"
    save_picture(np.zeros((4, 4, 3), np.uint8), image)
    blocks = [
        page.heading("Scores"),
        page.paragraph("of <100> images", kind="muted"),
        page.table(["score", "value"], [["AP50", "81.2"], ["a & b", "none"]]),
        page.tiles([("box AP", "43.7", "published <43.7>")]),
        page.row(page.paragraph("left"), page.paragraph("right")),
        page.pictures([page.picture(image, 'image "1"')]),
        page.details("more", page.paragraph("hidden")),
        page.legend([("loss", "#123456", "dashed")]),
        page.bars(
            [page.Bar(name="<cat>", spans=[(0, 0.5, "#111"), None], value="50.0", count="3")]
        ),
    ]
    path = tmp_path / "report.html"
    page.write_page(path, "Run <1>", blocks)
    text = path.read_text()
    assert "<title>Run &lt;1&gt;</title>" in text
    assert '<p class="muted">of &lt;100&gt; images</p>' in text
    assert "<td>81.2</td>" in text
    assert "<td>a &amp; b</td>" in text
    assert "data:image/jpeg;base64," in text
    assert 'alt="image &quot;1&quot;"' in text
    assert "published &lt;43.7&gt;" in text
    assert "&lt;cat&gt;" in text
    assert "left:0.0%;width:50.0%;background:#111" in text
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["image.jpg", "report.html"]


def test_a_picture_that_is_gone_is_said(tmp_path: Path) -> None:
    assert "image 3 (the picture is missing)" in page.picture(tmp_path / "no.jpg", "image 3")
