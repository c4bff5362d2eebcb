"""One way measured in a process of its own: neither memory nor caches of others count."""

import multiprocessing
import re
import resource
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Job:
    """Task of a process that measures.

    Attributes:
        way: name of it.
        weights: file of the model.
        exported: its exported file, if the way runs one.
        image: `(3, H, W)` uint8.
        rounds: timed runs.
        threads: that torch and the runtimes use; None: torch's own choice.
        device: "cpu" or "cuda".
    """

    way: str
    weights: str
    exported: Path | None
    image: NDArray[np.uint8]
    rounds: int
    threads: int | None
    device: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures of a process that measured.

    Attributes:
        seconds: median of the runs.
        first_seconds: of loading and the first run, with what is compiled for it.
        memory: MiB that the process held at most; on a GPU what torch held there at most.
        result: of the image, as arrays; None of a peer.
        error: why there is no figure, or None.
    """

    seconds: float = float("nan")
    first_seconds: float = float("nan")
    memory: float = float("nan")
    result: dict[str, NDArray[Any]] | None = field(default=None, repr=False)
    error: str | None = None


def measure(job: Job) -> Measurement:
    """Measure a way in a new process; what fails there is the measurement's `error`."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_and_send, args=(job, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return Measurement(error=f"its process ended with status {process.exitcode}")
    finally:
        process.join()


def _measure_and_send(job: Job, sender: Any) -> None:
    try:
        found = measure_here(job)
    except Exception as error:  # a peer's or a runtime's: told in the table, the others go on
        text = str(error).strip().partition("\n")[0]
        found = Measurement(error=text or type(error).__name__)
    sender.send(found)


def measure_here(job: Job) -> Measurement:
    """Measure in this process."""
    import torch

    from swin_dense.tools.benchmark.runs import comparable, make_run
    from swin_dense.tools.benchmark.ways import WAYS

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    image = torch.from_numpy(job.image)

    def read_clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    start = read_clock()
    with torch.no_grad():
        run = make_run(job.way, weights=job.weights, exported=job.exported, device=device)
        result = run(image)
        first = read_clock() - start
        times = []
        for _ in range(job.rounds):
            start = read_clock()
            run(image)
            times.append(read_clock() - start)
    on_gpu = device.type == "cuda"
    return Measurement(
        seconds=statistics.median(times),
        first_seconds=first,
        memory=torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else _peak_memory(),
        result=None if WAYS[job.way].is_peer else comparable(result),
    )


def _peak_memory() -> float:
    """MiB that this process has held at most."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts the process that started this one as well
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), flags=re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
