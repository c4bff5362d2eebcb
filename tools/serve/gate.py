"""The door of the server: it lets through what the page and the API's clients ask for, no more.

The library behind the API can also fetch files from other hosts, hand out files, keep records and
show pages of its own. None of that is served here. A page of another site that is open in the same
browser gets nothing either: it would come under another host's name, or with another origin.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API = "/gradio_api"
_PATHS = frozenset(
    {
        *("/", "/model.json", "/favicon.ico", "/config"),
        *("/page.css", "/requests.js", "/canvas.js", "/page.js"),
        *(f"{_API}/{name}" for name in ("info", "startup-events", "upload", "cancel", "reset")),
        *(f"{_API}/queue/{name}" for name in ("join", "data")),
    }
)
_BEGINNINGS = ("/results/", f"{_API}/call/", f"{_API}/heartbeat/")
_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_MOST_JSON = 1 << 20  # bytes of a request that is no upload
_FORM = 1 << 16  # bytes that a form needs around its file
_MOST_DRAINED = 1 << 30  # bytes


class Gate:
    """Middleware (ASGI) in front of an app.

    Args:
        app: behind it.
        uploads: folder of uploaded files; a request may name no file elsewhere.
        max_bytes: of an uploaded file.
    """

    def __init__(self, app: ASGIApp, *, uploads: Path, max_bytes: int) -> None:
        self._app, self._uploads, self._max_bytes = app, uploads.resolve(), max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        refusal = self._refuse(request)
        if refusal is None and request.method == "POST" and scope["path"] != f"{_API}/upload":
            body = await _read_body(request)
            refusal = _refuse_body(body, self._uploads)
            receive = _replay(body or b"", receive)
        if refusal is not None:
            await _drain(request)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if _host_name(host) not in _HOSTS:
            return _answer(403, f"host must be one of {', '.join(sorted(_HOSTS))}, got {host!r}")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _answer(403, f"origin must be the server's own page, got {origin!r}")
        path = request.url.path
        if path not in _PATHS and not path.startswith(_BEGINNINGS):
            return _answer(404, f"there is no {path} here")
        length = request.headers.get("content-length", "0")
        num_bytes = int(length) if length.isdecimal() else 0
        if path == f"{_API}/upload" and num_bytes > self._max_bytes + _FORM:
            return _answer(413, too_large(num_bytes, self._max_bytes))
        return None


def too_large(num_bytes: int, max_bytes: int, name: str = "an upload") -> str:
    """The line about a file that is over the limit."""
    return (
        f"{name} must have at most {max_bytes / 1e6:g} MB, got {num_bytes / 1e6:.1f} MB; "
        "--max-megabytes raises the limit"
    )


def _answer(status: int, text: str) -> Response:
    return PlainTextResponse(text, status_code=status)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _drain(request: Request) -> None:
    """Read a refused body to its end: who is still sending does not hear the answer."""
    num_bytes = 0
    with contextlib.suppress(ClientDisconnect, RuntimeError):  # gone, or read already
        async for part in request.stream():
            num_bytes += len(part)
            if num_bytes > _MOST_DRAINED:
                break


async def _read_body(request: Request) -> bytes | None:
    """The body; None if it is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_JSON:
            return None
    return body


def _refuse_body(body: bytes | None, uploads: Path) -> Response | None:
    """Refuse what is no small JSON, or names a file that is no upload, which would be read."""
    if body is None:
        return _answer(413, f"a request must have at most {_MOST_JSON} bytes")
    try:
        content = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return _answer(400, "a request must be JSON")
    for path in _named_paths(content):
        if not is_upload(path, uploads):
            return _answer(400, f"path must be that of an uploaded file, got {str(path)[:200]!r}")
    return None


def is_upload(path: Any, uploads: Path) -> bool:
    """True if a path is that of a file in the folder of uploads, whatever links are on the way."""
    try:
        return isinstance(path, str) and Path(path).resolve().is_relative_to(uploads)
    except (OSError, ValueError, RuntimeError):
        return False


def _named_paths(content: Any) -> Iterator[Any]:
    """The paths of all files that a request names, at any depth."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "path" in item:
                yield item["path"]
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _replay(body: bytes, receive: Receive) -> Receive:
    """The messages of a request whose body has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read
