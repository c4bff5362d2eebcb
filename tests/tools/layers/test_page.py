"""The page of a model's layers, as text and in a browser."""

from pathlib import Path
from typing import Any

import pytest
from browser_tabs import look_at

import swin_dense as sd
from swin_dense.tools.layers.page import write_layers_page
from swin_dense.tools.layers.summary import summarise

TINY = sd.SwinConfig(
    embed_dim=8, depths=(1, 2), num_heads=(1, 2), window_size=2, out_indices=(0, 1)
)
_PROBE = """() => ({
  wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  drawn: [...document.querySelectorAll('.stages svg')].map(svg => {
    const box = svg.getBoundingClientRect(); return [box.width, box.height] }),
  smallest: Math.min(...[...document.querySelectorAll('td, figcaption, p')].map(
    part => parseFloat(getComputedStyle(part).fontSize))),
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "layers.html"
    write_layers_page(path, "<swin>", summarise(lambda: sd.create_backbone(TINY), (16, 24)))
    return path


def test_the_page_has_stages_drawn_to_scale_and_every_module(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<h1>&lt;swin&gt;</h1>" in text
    assert text.count("<svg") == 2
    assert 'width="132.0" height="88.0"' in text  # 4 x 6 tokens
    assert 'd="M0 44.0H132.0M44.0 0V88.0M88.0 0V88.0"' in text  # windows of 2 x 2
    assert text.count("<rect") == 1 + 2  # twice the channels: one more sheet
    assert "blocks 0-1 (2 x SwinBlock)" in text
    assert "http" not in text.replace('http-equiv="Content', "")


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (400, "dark")])
def test_the_page_fits_the_window_and_asks_for_nothing(
    browser: Any, page: Path, width: int, colours: str
) -> None:
    found = look_at(browser, page, _PROBE, width=width, colours=colours)
    assert not found["wide"]
    assert found["requests"] == []
    assert found["smallest"] >= 12
    (first, second) = found["drawn"]
    assert first[0] > second[0] > 50
