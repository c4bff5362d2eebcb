"""The web application: our page, the files it asks for, and the same as an API of gradio's."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Before the import, which reads them: nothing is told to anybody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from gradio import FileData
from starlette.types import ASGIApp

from swin_dense.tools.serve.choice import read_choice
from swin_dense.tools.serve.gate import Gate, is_upload
from swin_dense.tools.serve.service import Service

_PAGE = Path(__file__).parent / "page"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_FILES = {".json": "application/json", ".png": "image/png", ".jpg": "image/jpeg"}
# The page's own files, and pictures that are part of an answer; nothing of any other host. Our own
# script evaluates no text; programs that drive a browser do.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OLD_UPLOADS = (60, 300)  # s: how often they are looked for, and from which age they are removed
_GONE = "this result is not kept any more; choose the image again"


def make_app(service: Service, *, name: str, max_bytes: int) -> ASGIApp:
    """The application.

    Args:
        service: gives the answers.
        name: of the weights.
        max_bytes: of an uploaded file.
    """
    app = FastAPI(title="swin-dense", docs_url=None, redoc_url=None, openapi_url=None)
    model = service.describe(name=name, max_bytes=max_bytes)

    @app.get("/")
    def index() -> Response:
        return _page("index.html")

    for file in ("page.css", "requests.js", "canvas.js", "page.js"):
        app.get(f"/{file}")(partial(_page, file))

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/model.json")
    def describe() -> Response:
        return JSONResponse(model)

    _add_results(app, service)
    gradio.mount_gradio_app(
        app,
        _make_api(service),
        path="/",
        server_name="127.0.0.1",
        show_error=True,
        max_file_size=max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
    )
    return Gate(app, uploads=service.uploads, max_bytes=max_bytes)


def _add_results(app: FastAPI, service: Service) -> None:
    """Addresses of one result, under its name."""

    @app.get("/results/{result_id}/view")
    def view(result_id: str) -> Response:
        return _answer(lambda: JSONResponse(service.view(result_id)))

    @app.get("/results/{result_id}/levels/{pyramid}")
    def levels(result_id: str, pyramid: str) -> Response:
        return _answer(lambda: JSONResponse(service.levels(result_id, pyramid)))

    @app.get("/results/{result_id}/overlay")
    def overlay(result_id: str, request: Request) -> Response:
        return _answer(
            lambda: _download(
                service.overlay(result_id, read_choice(request.query_params, service.default))
            )
        )

    @app.get("/results/{result_id}/files/{name:path}")
    def file(result_id: str, name: str, request: Request) -> Response:
        return _answer(
            lambda: _download(
                service.file(result_id, name, read_choice(request.query_params, service.default))
            )
        )

    @app.post("/results/{result_id}/forget")
    def forget(result_id: str) -> Response:
        service.forget(result_id)
        return Response(status_code=204)


def _make_api(service: Service) -> gradio.Blocks:
    """The endpoints of gradio's API: `/predict`, `/pyramid`."""

    def find(image: Any) -> dict[str, Any]:
        given = image if isinstance(image, dict) else getattr(image, "__dict__", {})
        path: Any = given.get("path")
        name = given.get("orig_name")
        try:
            if not isinstance(path, str) or not is_upload(path, service.uploads):
                raise ValueError(f"image must be an uploaded file, got {str(image)[:200]!r}")
            return service.find(Path(path), name if isinstance(name, str) else Path(path).name)
        except (ValueError, OSError) as error:
            raise gradio.Error(_in_words(error), print_exception=False) from error

    def predict(image: FileData, score_threshold: float = service.default.threshold) -> dict:
        """Find what is in an image: the files that `swin-dense predict` writes, as JSON.

        Args:
            image: an uploaded file.
            score_threshold: detections that score less are left out, 0..1.

        Returns:
            `id`, `name`, `width`, `height`, `seconds`, and `files`: by name, JSON as it is, text
            as text, pictures in base64.
        """
        try:
            choice = read_choice({"threshold": str(score_threshold)}, service.default)
            found = find(image)
            return {**found, "files": service.files(found["id"], choice)}
        except ValueError as error:
            raise gradio.Error(_in_words(error), print_exception=False) from error

    def look(image: FileData) -> dict:
        """Find what is in an image, for the page: without files."""
        return find(image)

    def pyramid(image: FileData, pyramid: str = "backbone") -> dict:
        """The principal components of each level of the pyramid, as PNGs in addresses."""
        found = find(image)
        try:
            return service.levels(found["id"], pyramid)
        except ValueError as error:
            raise gradio.Error(_in_words(error), print_exception=False) from error
        finally:
            service.forget(found["id"])

    with gradio.Blocks(
        title="swin-dense", analytics_enabled=False, delete_cache=_OLD_UPLOADS
    ) as api:
        for function, visibility in (
            (predict, "public"),
            (pyramid, "public"),
            (look, "undocumented"),
        ):
            gradio.api(
                function,
                api_name=function.__name__,
                api_visibility=visibility,
                concurrency_limit=1,
                concurrency_id="model",
            )
    return api


def _page(name: str) -> Response:
    path = _PAGE / name
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers=headers)


def _answer(make: Callable[[], Response]) -> Response:
    """The response, or why there is none."""
    try:
        response = make()
    except KeyError:
        return PlainTextResponse(_GONE, status_code=404)
    except (ValueError, OSError) as error:
        return PlainTextResponse(_in_words(error), status_code=400)
    response.headers["Cache-Control"] = "no-store"
    return response


def _download(named: tuple[str, bytes]) -> Response:
    name, content = named
    kind = _FILES.get(Path(name).suffix.lower(), "text/plain; charset=utf-8")
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    return Response(content, media_type=kind, headers={"Content-Disposition": disposition})


def _in_words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return _GONE
    return str(error)
