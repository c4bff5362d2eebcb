"""The preview: one page, nothing fetched, and a click that finds like cells."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_tabs import look_at
from feature_extraction import write_images
from feature_shards import write_feature_store

from swin_dense.datasets.features.feature_store import FeatureStore
from swin_dense.datasets.features.inputs import find_images
from swin_dense.tools.features import preview as module
from swin_dense.tools.features.preview import write_preview

SIZES = {"a.png": (40, 60), "more/<b>.png": (64, 32), "c.png": (9, 300)}
_PROBE = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const frame = all(".map .frame")[1], box = frame.getBoundingClientRect();
  const hidden = document.getElementById("result").hidden;
  const at = {bubbles: true, clientX: box.left + box.width * 0.99, clientY: box.top + 1};
  frame.dispatchEvent(new MouseEvent("click", at));
  const first = document.getElementById("chosen").textContent;
  const event = {key: "ArrowDown", bubbles: true};
  all(".map")[1].dispatchEvent(new KeyboardEvent("keydown", event));
  return {
    hidden, first,
    second: document.getElementById("chosen").textContent,
    patches: all("#patches figure").map(figure => figure.textContent),
    marks: all(".mark").length,
    chosen: all(".mark.chosen").length,
    shaded: all(".maps canvas").filter(canvas => canvas.width !== 300).length,
    pictures: all("img").map(image => image.naturalWidth),
    overflow: document.documentElement.scrollWidth - innerWidth,
    widest: Math.max(...all(".maps").map(row => row.getBoundingClientRect().width)),
  };
}"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    images = find_images([write_images(tmp_path / "photos", SIZES)])
    write_feature_store(tmp_path / "store", SIZES)
    write_preview(FeatureStore(tmp_path / "store"), images, tmp_path / "preview.html")
    return tmp_path / "preview.html"


def test_it_is_one_file_that_fetches_nothing(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "script-src 'sha256-" in text
    assert text.count("data:image/jpeg;base64,") == 3
    assert text.count("data:image/png;base64,") == 6
    assert "more/&lt;b&gt;.png" in text
    assert "<b>.png" not in text


def test_it_holds_the_cells_of_each_level(page: Path) -> None:
    content = re.search(r'id="content">(.*?)</script>', page.read_text(), flags=re.DOTALL)
    assert content is not None
    found = json.loads(content[1])
    assert [level["stride"] for level in found["levels"]] == [4, 8]
    assert [[part["size"] for part in image["maps"]] for image in found["images"]] == [
        [[10, 15], [5, 8]],
        [[16, 8], [8, 4]],
        [[3, 64], [2, 38]],  # 75 cells are averaged to 64
    ]


def test_images_are_spread_over_the_store() -> None:
    assert module._choose([str(number) for number in range(120)]) == [
        str(number) for number in range(0, 120, 10)
    ]
    assert module._choose(["a", "b"]) == ["a", "b"]
    assert module._choose([]) == []


def test_averages_are_of_equal_parts() -> None:
    maps = np.arange(2 * 1 * 128, dtype=np.float16).reshape(2, 1, 128)
    few = module.few_cells(maps, module._MOST_CELLS)
    assert few.shape == (2, 1, 64)
    np.testing.assert_array_equal(few[0, 0, :3], [0.5, 2.5, 4.5])


def test_a_store_without_images_has_a_page(tmp_path: Path) -> None:
    write_feature_store(tmp_path / "store", {"a.png": (8, 8)}, bad=["a.png"])
    write_preview(FeatureStore(tmp_path / "store"), {}, tmp_path / "preview.html")
    assert "0 of 0 images" in (tmp_path / "preview.html").read_text()


@pytest.mark.parametrize("width", [1280, 400])
def test_a_click_shows_the_cells_that_are_most_like(browser: Any, width: int, page: Path) -> None:
    found = look_at(browser, page, _PROBE, width=width)
    assert found["hidden"]
    # The last of 8 columns and the first of 5 rows, in px of the original of 80 x 120.
    assert found["first"].startswith("level 1 at x 113, y 8 of a.png; most like it")
    assert found["second"].startswith("level 1 at x 113, y 24 of a.png; most like it")
    assert len(found["patches"]) == 10
    assert all(re.fullmatch(r"-?\d\.\d\d.*\.png", text) for text in found["patches"])
    assert (found["marks"], found["chosen"]) == (22, 2)  # on the photographs and on the maps
    assert found["shaded"] == 6
    assert all(natural > 0 for natural in found["pictures"])
    assert found["requests"] == []
    assert found["overflow"] <= 0
    assert found["widest"] > 0.85 * width


def test_the_browser_is_allowed_the_script_of_the_page(page: Path) -> None:
    import base64
    import hashlib

    text = page.read_text()
    script = re.search(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
