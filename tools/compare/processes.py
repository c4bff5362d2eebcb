"""One training in a process of its own: neither memory nor caches of others count in its log."""

import multiprocessing
import os
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from swin_dense.tools.training.loop import StopRequest
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train

_PAUSE = 0.5  # s between two looks whether this process was asked to stop


def train_apart(options: Options) -> None:
    """Train in another process, which ends when this one does.

    SIGTERM and SIGINT are passed on: the training then writes a checkpoint and ends.

    Raises:
        ValueError: as `training.run.train`, or something killed the process.
        RuntimeError: a bug there; its traceback is on stderr.
        KeyboardInterrupt: this process was asked to stop.
    """
    # A server that has imported everything once; its children start in no time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["swin_dense.tools.training.run", "torch._dynamo"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train_and_send, args=(options, sender))
    with StopRequest() as stop:
        process.start()
        sender.close()
        is_asked = False
        while not receiver.poll(_PAUSE):
            if stop.signal_name is not None and not is_asked:
                process.terminate()
                is_asked = True
        found: tuple[str, str] | None = None
        with suppress(EOFError):
            found = receiver.recv()
        process.join()
    if stop.signal_name is not None:
        raise KeyboardInterrupt
    if found is None:
        raise ValueError(_describe_end(process.exitcode))
    kind, text = found
    if kind == "error":
        raise ValueError(text)
    if kind == "bug":
        raise RuntimeError(text)


def _train_and_send(options: Options, sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        train(options)
    except (ValueError, OSError) as error:
        sender.send(("error", str(error)))
    except Exception as error:
        traceback.print_exc()
        sender.send(("bug", str(error)))
    else:
        sender.send(("done", ""))


def _end_with_parent() -> None:
    """Be killed as the parent was: what starts the comparison again finds no one in the folder."""
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _describe_end(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"its process was killed by {name}; the machine may be short of memory"
    return f"its process ended with status {status}"
