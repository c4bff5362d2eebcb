"""A tab of a real browser: what a page becomes in it, what it asks for and complains about."""

from pathlib import Path
from typing import Any


def look_at(
    browser: Any, page: Path, probe: str, *, width: int, colours: str = "light"
) -> dict[str, Any]:
    """Look at a page that has loaded with a function of JavaScript.

    Args:
        browser: Playwright's.
        page: A file; the test fails if the browser complains about it.
        probe: A function without arguments that returns an object, or promises one.
        width: Of the window, in px.
        colours: What the reader wants: light or dark.

    Returns:
        The object, with `requests`: all that was asked for besides the file itself.
    """
    requests: list[str] = []
    complaints: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=colours)
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    found: dict[str, Any] = tab.evaluate(probe)
    tab.close()
    assert complaints == []
    found["requests"] = [
        url for url in requests if url != page.as_uri() and not url.startswith("data:")
    ]
    return found
