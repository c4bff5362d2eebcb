"""The page in a real browser: an image is dropped, the slider moved, downloads are `predict`'s."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swin_dense.tools.commands.predict import predict

pytest.importorskip("gradio", reason="needs the extra serve")

OpenPage = Callable[[str], str]
SCALE = (64, 64)  # as in conftest.py
_DROP = """([encoded, name]) => {
  const bytes = Uint8Array.from(atob(encoded), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""
_PASTE = """([encoded, name]) => {
  const bytes = Uint8Array.from(atob(encoded), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type: "image/png"}));
  document.body.dispatchEvent(
    new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
}"""
_PIXEL = """([x, y]) => {
  const canvas = document.getElementById("canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const place = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
  return [...context.getImageData(...place, 1, 1).data];
}"""


class Tab:
    """A tab of a browser with the page, that notes what it asks for and complains about."""

    def __init__(self, browser: Any, address: str, *, width: int = 1280) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.address = address
        self.page.goto(address)

    def choose(self, *files: Path) -> None:
        """Choose files, and wait for their results."""
        self.page.set_input_files("#files", [str(file) for file in files])
        self.wait()

    def wait(self) -> None:
        """Wait for a result, and until nothing is under way."""
        self.page.wait_for_selector("#result:not([hidden])")
        self.page.wait_for_selector("#strip .wait", state="detached")

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector).strip()

    def set(self, slider: str, value: float) -> None:
        """Move a slider as a hand does."""
        self.page.locator(slider).fill(str(value))

    def download(self, link: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.click(f"#downloads a:text-is('{link}')")
        return Path(download.value.path()).read_bytes()

    def close(self) -> None:
        """See that all was asked of the server alone, and nothing complained about."""
        others = [url for url in self.requests if not url.startswith((self.address, "data:"))]
        assert others == []
        assert self.complaints == []
        self.page.close()


def _encoded(path: Path) -> list[str]:
    return [base64.b64encode(path.read_bytes()).decode(), path.name]


def test_an_image_is_dropped_the_slider_moved_and_the_downloads_are_those_of_predict(
    browser: Any, open_page: OpenPage, weights: dict[str, Path], image: Path, tmp_path: Path
) -> None:
    tab = Tab(browser, open_page("detection"))
    tab.page.evaluate(_DROP, _encoded(image))
    tab.wait()
    assert tab.text("#facts").startswith("60 x 40 px · network 64 x 43")
    before = len(tab.requests)
    tab.set("#threshold", 0.0)
    all_objects = tab.page.locator("#objects li").count()
    scores = sorted(map(float, tab.page.locator("#objects .value").all_inner_texts()))
    middle = scores[len(scores) // 2]
    tab.set("#threshold", middle)
    assert 0 < tab.page.locator("#objects li").count() < all_objects
    assert len(tab.requests) == before  # neither the network nor the server had to do with it
    out = predict(
        weights["detection"],
        image,
        out=tmp_path / "out",
        scale=SCALE,
        score_threshold=middle,
        device="cpu",
    )
    assert tab.download("COCO JSON") == (out / "predictions.json").read_bytes()
    assert tab.download("Overlay") == (out / "overlays" / image.name).read_bytes()
    tab.page.click("#classes label:has-text('cat') input")
    written = json.loads(tab.download("COCO JSON"))
    assert {one["category_id"] for one in written["annotations"]} == {2}
    tab.close()


def test_a_label_map_has_opacity_a_legend_and_the_class_under_the_pointer(
    browser: Any, open_page: OpenPage, weights: dict[str, Path], image: Path, tmp_path: Path
) -> None:
    tab = Tab(browser, open_page("segmentation"))
    tab.choose(image)
    out = predict(weights["segmentation"], image, out=tmp_path / "out", scale=SCALE, device="cpu")
    written = (out / "label_maps" / "street view.png").read_bytes()
    assert tab.download("Label map") == written
    assert tab.download("Overlay") == (out / "overlays" / image.name).read_bytes()
    labels = np.asarray(Image.open(out / "label_maps" / "street view.png"))
    names = (out / "classes.txt").read_text().split()
    assert set(tab.page.locator("#classes .name").all_inner_texts()) == {
        names[label] for label in np.unique(labels)
    }
    box = tab.page.locator("#canvas").bounding_box()
    for x, y in ((5, 5), (30, 20), (55, 35)):
        tab.page.mouse.move(
            box["x"] + (x + 0.5) / 60 * box["width"], box["y"] + (y + 0.5) / 40 * box["height"]
        )
        assert tab.text("#pointed") == f"{names[labels[y, x]]} at {x}, {y}"
    before = len(tab.requests)
    shown = []
    for opacity in (0, 0.5, 1):
        tab.set("#opacity", opacity)
        shown.append(tab.page.evaluate(_PIXEL, [0.5, 0.5]))
    tab.page.click("#none")
    assert tab.page.evaluate(_PIXEL, [0.5, 0.5]) == shown[0]
    assert shown[0] != shown[1] != shown[2]
    assert len(tab.requests) == before
    tab.close()


def test_two_tabs_at_once_see_each_their_own(
    browser: Any, open_page: OpenPage, image: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(np.full((30, 90, 3), 90, np.uint8)).save(other)
    address = open_page("detection")
    first, second = Tab(browser, address), Tab(browser, address)
    first.page.set_input_files("#files", str(image))
    second.page.evaluate(_PASTE, _encoded(other))
    first.wait()
    second.wait()
    assert first.text("#facts").startswith("60 x 40 px")
    assert second.text("#facts").startswith("90 x 30 px")
    first.close()
    assert json.loads(second.download("COCO JSON"))["images"][0]["file_name"] == "other.png"
    second.close()


def test_files_that_are_refused_are_named_and_the_others_shown(
    browser: Any, open_page: OpenPage, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "large.jpg").write_bytes(bytes(200_000))
    tab = Tab(browser, open_page("detection"))
    tab.choose(tmp_path / "notes.jpg", image, tmp_path / "large.jpg")
    assert sorted(tab.page.locator("#messages span").all_inner_texts()) == [
        "large.jpg must have at most 0.1 MB, got 0.2 MB; --max-megabytes raises the limit",
        "notes.jpg cannot be read as an image: it is cut off, damaged or no image",
    ]
    assert tab.page.locator("#strip li").count() == 1
    tab.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_a_wide_and_a_narrow_window(
    browser: Any, open_page: OpenPage, image: Path, width: int
) -> None:
    tab = Tab(browser, open_page("detection"), width=width)
    tab.choose(image)
    tab.page.click("#pyramid summary")
    tab.page.wait_for_selector("#levels img")
    assert tab.page.locator("#levels img").count() == 4
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    canvas, panel = (tab.page.locator(selector).bounding_box() for selector in ("#canvas", "aside"))
    is_beside = panel["x"] >= canvas["x"] + canvas["width"]
    assert is_beside == (width == 1280)
    tab.close()
