"""A real browser, for the pages that the tools write and serve."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser that playwright drives; the test skips where either is absent."""
    library = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next((path for path in map(shutil.which, _BROWSERS) if path), None)
    if path is None:
        pytest.skip(f"needs a browser: one of {', '.join(_BROWSERS)} on the PATH")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with library.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()
