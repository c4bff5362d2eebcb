"""The training loop: a plain function of a model, an iterable of lists of samples, and `prepare`.

`prepare` is the task's and turns samples into `(ImageBatch, targets)` on the device. Nothing here
knows of a task.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from swin_dense.tools.runs.log import RunLog
from swin_dense.tools.tasks.task import Sample
from swin_dense.tools.training.distributed.sharding import pause_sync
from swin_dense.tools.training.distributed.sync_flags import ProcessFlags

Prepare = Callable[[Sequence[Sample], torch.device], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class LoopPlan:
    """Length of a training, and its intervals; steps are counted from 1 when done."""

    num_steps: int
    start_step: int = 0
    accumulate: int = 1
    clip_norm: float | None = None
    log_every: int = 50
    save_every: int = 1000  # 0: not by steps
    save_seconds: float = 0.0  # 0: not by time
    evaluate_every: int = 0  # 0: only at the end

    def is_due(self, step: int, every: int) -> bool:
        """True after `step` for something done every so many steps, and at the end."""
        return step == self.num_steps or (every > 0 and step % every == 0)


class StopRequest:
    """Notes SIGTERM and SIGINT while it is entered; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not the main thread: leave signals alone
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal_name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name


class LossWindow:
    """Losses of the steps since the last line of the log, for its mean.

    A checkpoint between two lines holds them, so that the lines of a run that was cut off and
    continued there are those of one that was not.

    Attributes:
        rows: `(steps, number of losses)` float32 on the CPU, means over the processes; None where
            no step is in it.
    """

    def __init__(self, rows: Tensor | None = None) -> None:
        self.rows = rows

    def add(self, rows: Tensor) -> None:
        """Put in the losses of further steps."""
        before = self.rows
        if before is None or before.shape[1:] != rows.shape[1:]:  # an older version's losses
            self.rows = rows
        else:
            self.rows = torch.cat([before, rows])

    def take_means(self, names: Sequence[str]) -> dict[str, float]:
        """Mean of each loss, and their sum as `loss`; the window is empty then."""
        assert self.rows is not None
        means = self.rows.mean(dim=0).tolist()
        self.rows = None
        return dict(zip(names, means, strict=True)) | {"loss": sum(means)}


@dataclass(frozen=True)
class _StepRecord:
    """A step until the next look at the losses; `losses` stays on the device."""

    step: int
    losses: Tensor  # (number of losses,)
    image_ids: list[Any]


def train(
    model: nn.Module,
    batches: Iterable[list[Sample]],
    optimizer: torch.optim.Optimizer,
    *,
    accelerator: Accelerator,
    prepare: Prepare,
    lr_at: Callable[[int], float],
    plan: LoopPlan,
    log: RunLog,
    save: Callable[[int], object],
    evaluate: Callable[[int], object],
    after_step: Callable[[], object] = lambda: None,
    window: LossWindow | None = None,
) -> int:
    """Train from `plan.start_step` to `plan.num_steps`.

    The device is waited for only where losses are logged or a checkpoint is due. There every step
    since the last look is checked, so a checkpoint never follows a non-finite loss.

    Args:
        model: whole model, prepared by `accelerator`.
        batches: `plan.accumulate` lists of samples for each step.
        optimizer: prepared by `accelerator`.
        accelerator: device, precision and processes.
        prepare: samples to what the model takes, on the device.
        lr_at: learning rate of a step, counted from 0.
        plan: when to log, save and evaluate.
        log: where figures go.
        save: writes the checkpoint of a step; also called before each evaluation.
        evaluate: evaluates after a step.
        after_step: called when the weights have changed.
        window: losses of a run that is continued, which `save` may keep; None: an empty one.

    Returns:
        Steps done: `plan.num_steps`, or fewer after SIGTERM or SIGINT, with a checkpoint.

    Raises:
        ValueError: a loss is not finite; the message has the losses, the step and the images.
    """
    source = iter(batches)
    flags = ProcessFlags(accelerator.num_processes)
    window = LossWindow() if window is None else window
    records: list[_StepRecord] = []
    model.train()
    step = plan.start_step
    saved_at = time.monotonic()
    log.start(step, plan.num_steps)
    with StopRequest() as stop:
        while step < plan.num_steps:
            lr = lr_at(step)
            for group in optimizer.param_groups:
                group["lr"] = lr * group.get("lr_factor", 1.0)
            names, record = _step(
                step + 1, model, source, optimizer, accelerator, prepare, plan, log
            )
            after_step()
            records.append(record)
            step += 1
            is_late = 0 < plan.save_seconds <= time.monotonic() - saved_at
            stopping, save_now = flags.sync_flags(
                [stop.signal_name is not None, is_late and accelerator.is_main_process]
            )
            log_due = plan.is_due(step, plan.log_every)
            evaluate_due = plan.is_due(step, plan.evaluate_every) and not stopping
            save_due = stopping or save_now or evaluate_due or plan.is_due(step, plan.save_every)
            if log_due or save_due:
                window.add(_checked_losses(names, records, accelerator))
                records.clear()
                if log_due:
                    log.step(step, window.take_means(names), lr=lr)
            if save_due:
                save(step)
                saved_at = time.monotonic()
            if evaluate_due:
                evaluate(step)
                model.train()
                log.restart_clock(step)  # pictures and the report are not of the training
            if stopping:
                log.note(f"stopped by {stop.signal_name or 'another process'} after step {step}")
                break
    return step


def _step(
    number: int,
    model: nn.Module,
    source: Iterator[list[Sample]],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    prepare: Prepare,
    plan: LoopPlan,
    log: RunLog,
) -> tuple[list[str], _StepRecord]:
    """One update of the weights, from `plan.accumulate` batches."""
    total: Tensor | None = None
    names: list[str] = []
    image_ids: list[Any] = []
    for turn in range(plan.accumulate):
        waited = time.perf_counter()
        samples = next(source)
        num_images = len(samples) * accelerator.num_processes
        log.waited(time.perf_counter() - waited, num_images=num_images)
        image_ids += [sample["image_id"] for sample in samples]
        images, targets = prepare(samples, accelerator.device)
        is_last = turn == plan.accumulate - 1
        with contextlib.nullcontext() if is_last else pause_sync(model, accelerator):
            with accelerator.autocast():
                losses: dict[str, Tensor] = model(images, targets)
            names = list(losses)
            accelerator.backward(sum(losses.values()) / plan.accumulate)
        values = torch.stack([loss.detach().float() for loss in losses.values()]) / plan.accumulate
        total = values if total is None else total + values
    assert total is not None
    if plan.clip_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), plan.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return names, _StepRecord(number, total, image_ids)


def _checked_losses(
    names: Sequence[str], records: Sequence[_StepRecord], accelerator: Accelerator
) -> Tensor:
    """`(steps, number of losses)` since the last look, means over the processes; all finite."""
    stacked = torch.stack([record.losses for record in records])  # (steps, number of losses)
    stacked = accelerator.reduce(stacked, reduction="mean").cpu()
    bad = (~stacked.isfinite()).any(dim=1).nonzero().flatten()
    if len(bad):
        record = records[int(bad[0])]
        values = dict(zip(names, stacked[int(bad[0])].tolist(), strict=True))
        figures = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        image_ids = gather_object(record.image_ids)  # of every process: all find the same
        raise ValueError(
            f"losses must be finite, got {figures} at step {record.step} "
            f"on images {image_ids}; a lower learning rate or optimizer.clip_norm may help"
        )
    return stacked
