"""The page: one file, nothing fetched, nothing unescaped."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np

from swin_dense.tools.report import page
from swin_dense.tools.report.style import INK, STYLE, themed
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
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["image.jpg", "report.html"]


def test_a_picture_that_is_gone_is_said(tmp_path: Path) -> None:
    assert "image 3 (the picture is missing)" in page.picture(tmp_path / "no.jpg", "image 3")


def test_sections_fold_and_are_listed_in_order_with_places_of_their_own(tmp_path: Path) -> None:
    def group(title: str) -> page.Section:
        scores = page.Section(title="Scores", blocks=[page.paragraph(f"of {title}")])
        return page.Section(title=title, blocks=[page.paragraph("before"), scores])

    path = tmp_path / "report.html"
    page.write_page(path, "Demo", ["<p>first</p>", group("A & B"), group("C")])
    text = path.read_text()
    contents = text.partition("<nav")[2].partition("</nav>")[0]
    links = re.findall(r'href="#([^"]+)">([^<]+)</a>', contents)
    assert [name for _, name in links] == ["A &amp; B", "Scores", "C", "Scores"]
    places = [place for place, _ in links]
    assert len(set(places)) == 4
    assert re.findall(r'<details class="section[^"]*" id="([^"]+)" open>', text) == places
    assert text.count("<details") == text.count("</details>") == 4
    assert "<summary><h1>A &amp; B</h1></summary>" in text
    assert "<summary><h2>Scores</h2></summary>" in text
    assert text.index("<p>first</p>") < text.index("of A &amp; B") < text.index("of C")


def test_a_page_without_sections_has_no_contents(tmp_path: Path) -> None:
    page.write_page(tmp_path / "page.html", "Words", [page.paragraph("few")])
    assert "<nav" not in (tmp_path / "page.html").read_text()


def test_a_page_may_have_rules_and_a_script_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    page.write_page(path, "Words", ["few"], style="p { color: red; }", script="let a = 1;\n")
    text = path.read_text()
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;\n").digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text
    assert "<script>let a = 1;\n</script>" in text
    assert "p { color: red; }</style>" in text
    page.write_page(path, "Words", ["few"])
    assert "script" not in path.read_text()


def test_a_picture_that_opens_large_is_in_the_page_once(tmp_path: Path) -> None:
    image = tmp_path / "image.jpg"
    save_picture(np.zeros((4, 4, 3), np.uint8), image)
    figure = page.picture(image, "image 1: 50.0")
    assert figure.count("base64,") == 1
    assert figure.startswith('<details class="picture"><summary><img ')


def test_colours_of_the_page_become_variables_that_the_dark_mode_changes() -> None:
    assert themed(f"fill: {INK}; stroke: #123456") == "fill: var(--ink); stroke: #123456"
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+);", part))
        for part in STYLE.split("@media (prefers-color-scheme: dark)")[:2]
    )
    assert light.keys() == dark.keys()
    assert all(light[name] != dark[name] for name in light)
    used = set(re.findall(r"var\(--(\w+)\)", STYLE)) - {"c"}
    assert used <= light.keys()
