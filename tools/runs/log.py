"""The log of a run: progress on stderr, `log.jsonl`, TensorBoard files and a tracker."""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from torch.utils.tensorboard import SummaryWriter

from swin_dense.tools.console import Console
from swin_dense.tools.files import atomic_write, finite_or_none
from swin_dense.tools.printable import printable
from swin_dense.tools.runs.trackers import RunTracker
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import in_percent

LOG_FILE = "log.jsonl"
FIGURES = (  # of a log step; what else it has are the parts of the loss
    *("step", "loss", "rate", "images_per_second", "seconds_per_step"),
    *("seconds_waiting_for_data", "memory_mib", "seconds_left"),
)


class RunLog:
    """Figures of a training, from the main process only.

    `log.jsonl` has one JSON object per log step (`step`, `loss` and each of its parts, `rate`,
    `images_per_second`, `seconds_per_step`, `seconds_waiting_for_data` per step, `memory_mib`,
    `seconds_left`) and one per evaluation (`step`, `metrics`). `rate` is the learning rate.

    Args:
        run: the run's folder; None writes no file.
        is_main: False makes every method silent.
        start_step: lines of later steps are dropped; they are of a run that was cut off.
    """

    def __init__(self, run: Path | None, *, is_main: bool = True, start_step: int = 0) -> None:
        self._is_main = is_main
        self._run = run if is_main else None
        self._console = Console(stderr=True, quiet=not is_main)
        self._board: SummaryWriter | None = None
        self._tracker: RunTracker | None = None
        self._bar: Progress | None = None
        self._bar_task = TaskID(0)
        self._num_steps = 0
        self._waited = 0.0
        self._num_images = 0
        self._clock_step = start_step  # time and images are counted since this step
        self._clock_time = time.perf_counter()
        if self._run is not None:
            self._run.mkdir(parents=True, exist_ok=True)
            _drop_later_lines(self._run / LOG_FILE, start_step)
            self._board = SummaryWriter(
                str(self._run / "tensorboard"), purge_step=start_step + 1, flush_secs=30
            )

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._board is not None:
            self._board.close()
        if self._tracker is not None:
            self._tracker.finish()

    def track(self, name: str, config: Mapping[str, Any], *, is_resumed: bool = False) -> None:
        """Give a tracker, too, what is written from now on; arguments as of `RunTracker`."""
        if self._run is not None:
            self._tracker = RunTracker(
                name, self._run, config, note=self.note, is_resumed=is_resumed
            )

    def start(self, step: int, num_steps: int) -> None:
        """Begin to count time and images, `step` steps being done of `num_steps`."""
        self._num_steps = num_steps
        self.restart_clock(step)
        if self._is_main and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bar.start()
            self._bar_task = self._bar.add_task("", total=num_steps, completed=step, figures="")

    def waited(self, seconds: float, *, num_images: int) -> None:
        """Note the time that the loop waited for a batch, and the batch's size."""
        self._waited += seconds
        self._num_images += num_images

    def step(self, step: int, losses: Mapping[str, float], *, lr: float) -> None:
        """Write mean losses and the learning rate, and what was counted since the last line."""
        if not self._is_main:
            return
        elapsed = max(time.perf_counter() - self._clock_time, 1e-9)
        num_steps = max(step - self._clock_step, 1)
        left = elapsed / num_steps * (self._num_steps - step)
        figures = {
            "step": step,
            **losses,
            "rate": lr,
            "images_per_second": self._num_images / elapsed,
            "seconds_per_step": elapsed / num_steps,
            "seconds_waiting_for_data": self._waited / num_steps,
            "memory_mib": _peak_memory(),
            "seconds_left": left,
        }
        self._write(figures, step)
        text = (
            f"loss {losses['loss']:.4f}  {figures['images_per_second']:.1f} images/s  "
            f"{figures['memory_mib']:.0f} MiB  {clock(left)} left"
        )
        if self._bar is not None:
            self._bar.update(self._bar_task, completed=step, figures=text)
        else:
            self.note(f"step {step}/{self._num_steps}  {text}")
        self.restart_clock(step)

    def metrics(
        self, step: int, metrics: Mapping[str, float], *, names: Callable[[str], str] = str
    ) -> None:
        """Write the scores of an evaluation after `step`, fractions; printed in percent.

        `names` gives the name under which a score is printed.
        """
        if not self._is_main:
            return
        self._write({"step": step, "metrics": dict(metrics)}, step)
        scores = "  ".join(f"{names(name)} {in_percent(value)}" for name, value in metrics.items())
        self.note(f"step {step}  {scores}")
        self.restart_clock(step)

    def restart_clock(self, step: int) -> None:
        """Count time and images anew, `step` steps being done."""
        self._clock_step = step
        self._clock_time = time.perf_counter()
        self._waited = 0.0
        self._num_images = 0

    def picture(self, step: int, name: str, pixels: Picture) -> None:
        """Show a picture in TensorBoard and the tracker, `(H, W, 3)` RGB."""
        if self._board is not None:
            self._board.add_image(printable(name), pixels, step, dataformats="HWC")
        if self._tracker is not None:
            self._tracker.picture(step, name, pixels)

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        if self._is_main:
            self._console.print(text, highlight=False, soft_wrap=True)

    def _write(self, figures: Mapping[str, Any], step: int) -> None:
        if self._run is None or self._board is None:
            return
        line = finite_or_none(figures)
        with (self._run / LOG_FILE).open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        scalars = figures.get("metrics", figures)
        folder = "metrics" if "metrics" in figures else "training"
        for name, value in scalars.items():
            if name != "step":
                self._board.add_scalar(f"{folder}/{printable(name)}", value, step)
        if self._tracker is not None:
            finite = line.get("metrics", line)
            self._tracker.log(
                {f"{folder}/{name}": value for name, value in finite.items() if name != "step"},
                step,
            )


def read_log(run: Path) -> list[dict[str, Any]]:
    """Lines of a run's `log.jsonl` that are whole; an empty list where there is none."""
    return [line for line in _parse_lines(run / LOG_FILE) if line is not None]


def find_damaged_lines(run: Path) -> list[int]:
    """Numbers, from 1, of the lines of `log.jsonl` that cannot be read."""
    lines = enumerate(_parse_lines(run / LOG_FILE), start=1)
    return [number for number, line in lines if line is None]


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _parse_lines(path: Path) -> list[dict[str, Any] | None]:
    """Each line, None for one that a kill cut short or that something else damaged."""
    if not path.is_file():
        return []
    lines: list[dict[str, Any] | None] = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        is_whole = isinstance(line, dict) and isinstance(line.get("step"), int)
        lines.append(line if is_whole else None)
    return lines


def _drop_later_lines(path: Path, step: int) -> None:
    """Keep the whole lines up to `step`."""
    if not path.is_file():
        return
    kept = [line for line in _parse_lines(path) if line is not None and line["step"] <= step]
    atomic_write(path, "".join(json.dumps(line) + "\n" for line in kept))


def _peak_memory() -> float:
    """MiB: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
