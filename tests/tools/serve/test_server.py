"""The process: one machine's socket, and an end that leaves nothing, whatever is under way."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from swin_dense.tools.serve.server import bind, interrupted_by_sigterm

# A server whose requests take a minute, in a thread that cannot be stopped.
SLOW = """
import sys, time
from pathlib import Path
import anyio.to_thread
from swin_dense.tools.serve.folder import ProcessFolder
from swin_dense.tools.serve.server import bind, run_server, temporary_files

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    with open(folder.path / "image.jpg", "w") as file:
        file.write("an image")
    print("working", flush=True)
    if scope["path"] == "/slow":
        await anyio.to_thread.run_sync(time.sleep, 60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

with bind(0) as listener, ProcessFolder(Path(sys.argv[1])) as folder, temporary_files(folder):
    print(listener.getsockname()[1], flush=True)
    run_server(app, listener, folder, may_exit=True)
print("ended", flush=True)
"""


def _start(folder: Path) -> tuple[subprocess.Popen[str], int]:
    server = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, int(server.stdout.readline())


def test_a_port_that_is_taken_is_said_so() -> None:
    with bind(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        port = listener.getsockname()[1]
        with pytest.raises(ValueError, match=rf"--port must be free, got {port}: .* or 0 for any"):
            bind(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_leaves_nothing(number: int, tmp_path: Path) -> None:
    server, port = _start(tmp_path)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        assert answer.read() == b"done"
    server.send_signal(number)
    rest, _ = server.communicate(timeout=20)
    assert server.returncode == 0
    assert rest.endswith("ended\n")
    assert list(tmp_path.iterdir()) == []


def test_sigterm_interrupts_what_is_done_before_a_server_runs() -> None:
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_server_that_is_stopped_under_a_request_leaves_nothing(tmp_path: Path) -> None:
    server, port = _start(tmp_path)
    assert server.stdout is not None
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.stdout.readline() == "working\n"
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
    assert time.monotonic() - start < 10
    assert list(tmp_path.iterdir()) == []
