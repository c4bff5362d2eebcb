"""The door of the server: hosts, origins, paths, sizes, and files that are no uploads."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from swin_dense.tools.serve.gate import Gate, is_upload, too_large

HOST = "127.0.0.1:7860"


def _ask(
    uploads: Path,
    path: str = "/",
    *,
    body: bytes = b"",
    method: str = "GET",
    max_bytes: int = 1000,
    **headers: str,
) -> tuple[int, str]:
    """Status and text of an answer; the app behind the gate answers with the body it got."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": got})

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 7860),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    asyncio.run(Gate(app, uploads=uploads, max_bytes=max_bytes)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "[::1]:80"])
def test_the_machines_own_names_get_in(host: str, tmp_path: Path) -> None:
    assert _ask(tmp_path, host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "", "[", "[::2]"])
def test_other_names_of_this_machine_do_not(host: str, tmp_path: Path) -> None:
    status, text = _ask(tmp_path, host=host)
    assert status == 403
    assert text.startswith("host must be one of 127.0.0.1")


def test_a_page_of_another_site_is_refused(tmp_path: Path) -> None:
    assert _ask(tmp_path, origin=f"http://{HOST}")[0] == 200
    for origin in ("http://evil.example", "http://127.0.0.1:9999", "null"):
        assert _ask(tmp_path, origin=origin)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/docs", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://a", "/theme.css"),
        *("/gradio_api/runs", "/gradio_api/vibe-edit", "/monitoring", "/login", "/assets/a.js"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(path: str, tmp_path: Path) -> None:
    assert _ask(tmp_path, path)[0] == 404


def test_a_request_reaches_the_app_as_it_came(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    body = json.dumps({"data": [{"path": str(tmp_path / "a.jpg")}]}).encode()
    path = "/gradio_api/call/predict"
    assert _ask(tmp_path, path, method="POST", body=body) == (200, body.decode())


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://evil.example/a.jpg", "uploads/../a.jpg", None, 3, "\0"]
)
def test_a_file_that_is_no_upload_is_refused(path: object, tmp_path: Path) -> None:
    body = json.dumps({"data": [[{"image": {"path": path}}]]}).encode()
    for address in ("/gradio_api/call/predict", "/gradio_api/queue/join"):
        status, text = _ask(tmp_path, address, method="POST", body=body)
        assert status == 400
        assert text.startswith("path must be that of an uploaded file, got ")


def test_a_link_out_of_the_uploads_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a.jpg").symlink_to("/etc/passwd")
    assert not is_upload(str(tmp_path / "uploads" / "a.jpg"), tmp_path / "uploads")
    assert not is_upload(str(tmp_path / "uploads" / ".." / "b.jpg"), tmp_path / "uploads")


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused(body: bytes, tmp_path: Path) -> None:
    assert _ask(tmp_path, "/gradio_api/call/predict", method="POST", body=body)[0] == 400


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    path = "/gradio_api/upload"
    status, text = _ask(tmp_path, path, method="POST", content_length="50000000")
    assert (status, text) == (413, too_large(50_000_000, 1000))
    assert _ask(tmp_path, path, method="POST", content_length="900")[0] == 200
    body = b'"' + b"a" * (1 << 20) + b'"'
    assert _ask(tmp_path, "/gradio_api/call/predict", method="POST", body=body)[0] == 413


def test_the_line_about_a_large_file_names_it_and_the_limit() -> None:
    assert too_large(50_000_000, 40_000_000, "a.jpg") == (
        "a.jpg must have at most 40 MB, got 50.0 MB; --max-megabytes raises the limit"
    )
