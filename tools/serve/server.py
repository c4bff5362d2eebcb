"""The server process: a socket of this machine alone, signals, and an end that leaves nothing."""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from swin_dense.tools.serve.folder import ProcessFolder

HOST = "127.0.0.1"
_PATIENCE = 2  # s for requests under way when the server is stopped


def bind(port: int) -> socket.socket:
    """A socket on this machine's own address; port 0 is a free one.

    It listens at once: who connects before the server runs waits for it.

    Raises:
        ValueError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise ValueError(
            f"--port must be free, got {port}: {reason}; choose another, or 0 for any"
        ) from error
    return listener


@contextlib.contextmanager
def temporary_files(folder: ProcessFolder) -> Iterator[Path]:
    """Have all temporary files of this process made in a folder, uploads among them."""
    given, directory = os.environ.get("GRADIO_TEMP_DIR"), tempfile.tempdir
    os.environ["GRADIO_TEMP_DIR"] = str(folder.path / "uploads")
    tempfile.tempdir = str(folder.path)
    try:
        yield folder.path
    finally:
        tempfile.tempdir = directory
        if given is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = given


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Have SIGTERM interrupt what is done as Ctrl-C does, so that contexts are left in order."""
    with _handling(signal.default_int_handler, signal.SIGTERM):
        yield


def run_server(
    app: ASGIApp, listener: socket.socket, folder: ProcessFolder, *, may_exit: bool
) -> None:
    """Serve until SIGINT or SIGTERM.

    A computation that is under way cannot be stopped; where it may, the process ends without it.

    Args:
        app: to serve.
        listener: a bound socket.
        folder: removed before the process ends.
        may_exit: end the process if requests do not end soon after the signal.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = _Server(config)
    done = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Connections that are cut off then are no errors.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True
        if may_exit:
            threading.Thread(target=end_process, daemon=True).start()

    def end_process() -> None:
        if not done.wait(_PATIENCE + 1):
            folder.remove()
            os._exit(0)

    with _handling(stop, signal.SIGINT, signal.SIGTERM):
        try:
            server.run(sockets=[listener])
        finally:
            folder.remove()
            done.set()
    if may_exit and _is_working():
        os._exit(0)


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.contextmanager
def _handling(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Handle some signals; not outside the main thread, which gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def _is_working() -> bool:
    """True if threads are left that would keep the process from its end."""
    return any(
        not thread.daemon and thread is not threading.main_thread()
        for thread in threading.enumerate()
    )
