"""A Hugging Face hub of one's own on this machine: repositories, commits and downloads."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class HubServer(ThreadingHTTPServer):
    """Answers as the hub does, and remembers what it was asked.

    Attributes:
        repositories: the files of each repository by name.
        requests: method and path of every request.
        authorizations: header of every request that had one.
        token: that it asks for; None: it lets everybody in.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.token: str | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def run_hub() -> Iterator[HubServer]:
    """Serve until the end of the block."""
    server = HubServer()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._let_in():
            return
        if self.path == "/api/repos/create":
            request = json.loads(body)
            name = "/".join(filter(None, (request.get("organization"), request["name"])))
            self.server.repositories.setdefault(name, {})
            self._answer({"url": f"{self.server.address}/{name}", "name": name, "id": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/\w+", self.path):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/\w+(\?.*)?", self.path):
            files_of = self.server.repositories[found[1]]
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    files_of[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            url = f"{self.server.address}/{found[1]}/commit/{_hash(b'commit')}"
            self._answer({"success": True, "commitUrl": url, "commitOid": _hash(b"commit")})
        else:
            self._answer({"error": f"unknown {self.path}"}, status=404)

    def do_GET(self) -> None:
        if not self._let_in():
            return
        if found := re.fullmatch(r"/api/models/(.+)/tree/\w+(\?.*)?", self.path):
            files = self.server.repositories[found[1]]
            self._answer(
                [
                    {"type": "file", "path": name, "size": len(body), "oid": _hash(body)}
                    for name, body in files.items()
                ]
            )
        elif found := re.fullmatch(r"/api/models/(.+?)(/revision/[\w.]+)?(\?.*)?", self.path):
            files = self.server.repositories.get(found[1])
            if files is None:
                self._answer({"error": "Repository not found"}, status=404)
                return
            siblings = [{"rfilename": name} for name in files]
            self._answer(
                {"id": found[1], "modelId": found[1], "sha": _hash(b"commit"), "siblings": siblings}
            )
        elif found := re.fullmatch(r"/(.+)/resolve/\w+/(.+)", self.path):
            content = self.server.repositories[found[1]][found[2]]
            self._answer(content, etag=_hash(content))
        else:
            self._answer({"error": f"unknown {self.path}"}, status=404)

    do_HEAD = do_GET

    def _let_in(self) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        given = self.headers.get("Authorization")
        if given is not None:
            self.server.authorizations.append(given)
        if self.server.token is None or given == f"Bearer {self.server.token}":
            return True
        self._answer({"error": "Invalid username or password."}, status=401)
        return False

    def _answer(self, content: Any, *, status: int = 200, etag: str | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", _hash(b"commit"))
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        self.send_header("Content-Type", kind)
        if etag is not None:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
