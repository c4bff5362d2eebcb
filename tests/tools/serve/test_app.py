"""The server by HTTP: the API and its example, downloads, what is refused."""

import json
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

OpenPage = Callable[[str], str]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "serve.md"


def _get(address: str, **headers: str) -> tuple[int, Any, bytes]:
    return _open(urllib.request.Request(address, headers=headers))


def _post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, Any, bytes]:
    return _open(urllib.request.Request(address, body, {"Content-Type": kind}))


def _open(request: urllib.request.Request) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def _upload(page: str, name: str, content: bytes) -> tuple[int, str]:
    """Status, and the upload's path or the refusal."""
    border = uuid.uuid4().hex
    head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{border}--\r\n".encode()
    kind = f"multipart/form-data; boundary={border}"
    status, _, answer = _post(f"{page}gradio_api/upload", body, kind)
    return status, json.loads(answer)[0] if status == 200 else answer.decode()


def _call(page: str, function: str, *values: Any) -> tuple[str, Any]:
    """The last event of a call, and its data."""
    address = f"{page}gradio_api/call/{function}"
    status, _, answer = _post(address, json.dumps({"data": values}).encode())
    if status != 200:
        return str(status), answer.decode()
    _, _, events = _get(f"{address}/{json.loads(answer)['event_id']}")
    kind, data = re.findall(r"event: (\w+)\ndata: (.*)\n", events.decode())[-1]
    return kind, json.loads(data)


def _look(page: str, name: str, content: bytes) -> tuple[str, Any]:
    path = _upload(page, name, content)[1]
    meta = {"_type": "gradio.FileData"}
    return _call(page, "look", {"path": path, "orig_name": name, "meta": meta})


def test_the_pages_example_of_a_client_runs(
    open_page: OpenPage, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.open(image).save("street.jpg")
    text = DOCS.read_text()
    detector, segmentor = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for task, code in (("detection", detector), ("segmentation", segmentor)):
        page = open_page(task)
        assert "http://127.0.0.1:7860" in code
        names: dict[str, Any] = {}
        exec(code.replace("http://127.0.0.1:7860", page.rstrip("/")), names)
        if task == "detection":
            assert set(names["found"]["files"]) == {"predictions.json"}
            assert (names["found"]["width"], names["found"]["height"]) == (60, 40)
            assert [level["stride"] for level in names["pyramid"]["levels"]] == [4, 8, 16, 32]
        else:
            assert Image.open("street.png").size == (60, 40)


def test_a_result_is_for_who_has_its_name(open_page: OpenPage, image: Path) -> None:
    page = open_page("detection")
    kind, (found,) = _look(page, "a b.jpg", image.read_bytes())
    assert kind == "complete"
    address = f"{page}results/{found['id']}"
    status, headers, content = _get(f"{address}/files/predictions.json?threshold=0")
    assert status == 200
    assert headers["Content-Disposition"].endswith("a%20b_predictions.json")
    assert json.loads(content)["images"][0]["file_name"] == "a b.jpg"
    assert _get(f"{address}/overlay?threshold=7")[0] == 400
    assert _get(f"{address}/files/other")[0] == 404
    assert _get(f"{address[:-1]}/view")[0] == 404
    assert _post(f"{address}/forget", b"")[0] == 204
    status, _, content = _get(f"{address}/view")
    assert (status, content.decode()) == (
        404,
        "this result is not kept any more; choose the image again",
    )


def test_what_is_no_image_is_answered_with_a_line(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("detection")
    kind, data = _look(page, "notes.jpg", b"not an image")
    assert kind == "error"
    assert data["error"] == (
        "notes.jpg cannot be read as an image: it is cut off, damaged or no image"
    )
    kind, data = _call(page, "look", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
    assert (kind, data) == ("400", "path must be that of an uploaded file, got '/etc/passwd'")
    kind, data = _call(page, "look", "/etc/passwd")
    assert kind == "error"
    assert data["error"] == "image must be an uploaded file, got '/etc/passwd'"
    assert not list((tmp_path / "served").rglob("passwd"))


def test_an_upload_over_the_limit_is_refused_and_not_kept(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("detection")
    status, text = _upload(page, "a.jpg", bytes(3_000_000))
    assert status == 413
    assert "must have at most 0.1 MB, got 3.0 MB; --max-megabytes raises the limit" in text
    assert _upload(page, "a.jpg", bytes(110_000))[0] == 413  # the form around it may be large
    uploads = tmp_path / "served" / "uploads"
    assert sum(path.stat().st_size for path in uploads.rglob("*") if path.is_file()) == 0


def test_nothing_is_served_besides_and_no_other_host_is_named(open_page: OpenPage) -> None:
    page = open_page("segmentation")
    for path in ("docs", "gradio_api/file=/etc/passwd", "gradio_api/runs", "theme.css"):
        assert _get(page + path)[0] == 404
    for path in ("", "page.css", "requests.js", "canvas.js", "page.js", "model.json"):
        status, _, content = _get(page + path)
        assert status == 200
        assert not re.search(rb"(?:https?:)?//[\w-]+\.", content.replace(b"// ", b""))
    assert "default-src 'none'" in _get(page)[1]["Content-Security-Policy"]
    assert _get(page, Host="evil.example")[0] == 403
