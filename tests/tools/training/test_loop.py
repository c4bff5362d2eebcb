"""The loops on a model of two weights: updates, accumulation, checks, stopping."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from swin_dense.tools.runs.log import RunLog, read_log
from swin_dense.tools.tasks.evaluation import autocast, choose_device, predict_batches
from swin_dense.tools.training import loop
from swin_dense.tools.training.loop import LoopPlan, LossWindow, StopRequest, train

# What makes the host wait for a GPU: to read one number, or to learn how many there are.
_WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class _Line(nn.Module):
    """A model with two losses."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {
            "loss_fit": ((images * self.weight - targets) ** 2).mean(),
            "loss_size": 0.1 * self.weight.square().sum(),
        }


def _predict(model: Any, images: Sequence[Tensor], original_sizes: Sequence[Any]) -> list[Any]:
    """Say which sizes were asked for, and in which mode."""
    assert not torch.is_grad_enabled()
    assert len(images) == len(original_sizes)
    return [(size, model.training) for size in original_sizes]


def _prepare(samples: Sequence[dict[str, Any]], device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.tensor([sample["x"] for sample in samples], device=device)
    return x, 3 * x


def _batches(num_steps: int, *, size: int = 2) -> list[list[dict[str, Any]]]:
    source = torch.Generator().manual_seed(0)
    return [
        [
            {"image_id": 10 * step + i, "x": torch.rand(2, generator=source).tolist()}
            for i in range(size)
        ]
        for step in range(num_steps)
    ]


def _train(
    model: nn.Module,
    batches: Any,
    plan: LoopPlan,
    *,
    log: RunLog | None = None,
    save: Callable[[int], object] = lambda step: None,
    evaluate: Callable[[int], object] = lambda step: None,
    lr_at: Callable[[int], float] = lambda step: 0.1,
    window: LossWindow | None = None,
) -> int:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return train(
        model,
        batches,
        optimizer,
        accelerator=Accelerator(cpu=True),
        prepare=_prepare,
        lr_at=lr_at,
        window=window,
        plan=plan,
        log=log or RunLog(None, is_main=False),
        save=save,
        evaluate=evaluate,
    )


def test_a_group_has_its_factor_of_the_learning_rate() -> None:
    model = _Line()
    optimizer = torch.optim.SGD([{"params": [model.weight], "lr_factor": 0.1}], lr=1.0)
    train(
        model,
        _batches(1),
        optimizer,
        accelerator=Accelerator(cpu=True),
        prepare=_prepare,
        lr_at=lambda step: 0.5,
        plan=LoopPlan(num_steps=1),
        log=RunLog(None, is_main=False),
        save=lambda step: None,
        evaluate=lambda step: None,
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_step_follows_the_gradient_at_the_scheduled_rate() -> None:
    model = _Line()
    (batch,) = _batches(1)
    expected = _Line()
    sum(expected(*_prepare(batch, torch.device("cpu"))).values()).backward()
    _train(model, [batch], LoopPlan(num_steps=1), lr_at=lambda step: 0.25)
    assert torch.allclose(model.weight, expected.weight - 0.25 * expected.weight.grad)


def test_accumulated_parts_equal_one_batch() -> None:
    whole, parts = _Line(), _Line()
    batches = _batches(3, size=4)
    _train(whole, batches, LoopPlan(num_steps=3))
    halves = [half for batch in batches for half in (batch[:2], batch[2:])]
    _train(parts, halves, LoopPlan(num_steps=3, accumulate=2))
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)


def test_clipping_limits_the_update() -> None:
    model = _Line()
    _train(model, _batches(1), LoopPlan(num_steps=1, clip_norm=0.01), lr_at=lambda step: 1.0)
    assert (model.weight - _Line().weight).norm().item() == pytest.approx(0.01, rel=1e-4)


def test_logging_saving_and_evaluating_come_when_due_and_at_the_end(tmp_path: Path) -> None:
    calls: list[tuple[str, int]] = []
    plan = LoopPlan(num_steps=7, log_every=2, save_every=3, evaluate_every=5)
    with RunLog(tmp_path) as log:
        done = _train(
            _Line(),
            _batches(7),
            plan,
            log=log,
            save=lambda step: calls.append(("save", step)),
            evaluate=lambda step: calls.append(("evaluate", step)),
        )
    assert done == 7
    assert calls == [
        *[("save", 3), ("save", 5), ("evaluate", 5), ("save", 6), ("save", 7), ("evaluate", 7)]
    ]
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    assert lines[0]["loss"] == pytest.approx(lines[0]["loss_fit"] + lines[0]["loss_size"])
    assert lines[0]["images_per_second"] > 0


def test_a_line_of_the_log_is_of_all_steps_since_the_last_whatever_was_saved(
    tmp_path: Path,
) -> None:
    batches, model = _batches(5), _Line()
    with RunLog(tmp_path / "whole") as log:
        _train(model, batches, LoopPlan(num_steps=5, log_every=5), log=log)
    model, window = _Line(), LossWindow()
    kept: list[Any] = []

    def save(step: int) -> None:
        kept.append((window.rows, model.weight.detach().clone()))

    with RunLog(tmp_path / "cut") as log:
        plan = LoopPlan(num_steps=5, log_every=5, save_every=3)
        _train(model, batches, plan, log=log, save=save, window=window)
    rows, weight = kept[0]  # of step 3
    assert rows.shape == (3, 2)
    model.weight.data = weight
    with RunLog(tmp_path / "continued", start_step=3) as log:
        plan = LoopPlan(num_steps=5, start_step=3, log_every=5)
        _train(model, batches[3:], plan, log=log, window=LossWindow(rows))
    (whole,), (cut,), (continued,) = (
        read_log(tmp_path / name) for name in ("whole", "cut", "continued")
    )
    assert whole["loss"] == cut["loss"] == continued["loss"]
    assert whole["loss_fit"] == cut["loss_fit"] == continued["loss_fit"]


def test_the_time_of_an_evaluation_is_not_that_of_steps(tmp_path: Path) -> None:
    plan = LoopPlan(num_steps=4, log_every=2, evaluate_every=2)
    with RunLog(tmp_path) as log:
        _train(_Line(), _batches(4), plan, log=log, evaluate=lambda step: time.sleep(0.5))
    assert all(line["seconds_per_step"] < 0.2 for line in read_log(tmp_path))


def test_losses_of_another_number_than_an_older_versions_start_a_new_mean() -> None:
    window = LossWindow(torch.ones(2, 3))
    window.add(torch.zeros(1, 2))
    assert window.take_means(["a", "b"]) == {"a": 0.0, "b": 0.0, "loss": 0.0}
    assert window.rows is None


def test_a_checkpoint_comes_after_so_many_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(100))  # one passes at each look at the clock
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(seconds))
    saved: list[int] = []
    plan = LoopPlan(num_steps=7, save_every=0, save_seconds=2.0)
    _train(_Line(), _batches(7), plan, save=saved.append)
    assert saved == [2, 4, 6, 7]


def test_no_number_is_read_from_the_device_between_looks_at_the_losses() -> None:
    reads = [0]  # before the first step, then in each

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            reads[-1] += func in _WAITING
            return func(*args, **(kwargs or {}))

    def batches() -> Iterator[list[dict[str, Any]]]:
        for batch in _batches(6):
            reads.append(0)
            yield batch

    plan = LoopPlan(num_steps=6, log_every=3, clip_norm=1.0)
    model = _Line()
    with Reads():
        _train(model, batches(), plan)
    assert [count > 0 for count in reads[1:]] == [False, False, True, False, False, True]


def test_continuing_counts_from_the_start_step() -> None:
    rates: list[int] = []

    def lr_at(step: int) -> float:
        rates.append(step)
        return 0.1

    assert _train(_Line(), _batches(2), LoopPlan(num_steps=5, start_step=3), lr_at=lr_at) == 5
    assert rates == [3, 4]


def test_a_non_finite_loss_stops_with_step_losses_and_images_and_saves_nothing() -> None:
    batches = _batches(6)
    batches[3][1]["x"] = [float("nan"), 0.0]
    saved: list[int] = []
    with pytest.raises(ValueError, match=r"loss_fit nan.* at step 4 on images \[30, 31\]"):
        _train(_Line(), batches, LoopPlan(num_steps=6, save_every=3), save=saved.append)
    assert saved == [3]


def test_sigterm_saves_after_the_step_and_ends() -> None:
    batches = _batches(5)
    saved: list[int] = []

    def source() -> Any:
        for index, batch in enumerate(batches):
            if index == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    assert _train(_Line(), source(), LoopPlan(num_steps=5), save=saved.append) == 3
    assert saved == [3]


def test_a_signal_in_the_last_step_is_said_as_the_evaluation_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def source() -> Any:
        for batch in _batches(1):
            os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    calls: list[str] = []
    plan, log = LoopPlan(num_steps=1), RunLog(None)
    _train(
        _Line(),
        source(),
        plan,
        log=log,
        save=lambda step: calls.append("save"),
        evaluate=lambda step: calls.append("evaluate"),
    )
    assert calls == ["save"]
    assert "stopped by SIGTERM after step 1" in capsys.readouterr().err


def test_a_second_interrupt_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_predicting_is_in_eval_mode_and_in_the_original_frame() -> None:
    batches = [[{"image_id": 1, "image": torch.ones(2), "original_size": (4, 6)}]]
    ((samples, results),) = predict_batches(_Line(), batches, predict=_predict)
    assert samples == batches[0]
    assert results == [((4, 6), False)]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_sets_the_number_format(precision: str, dtype: torch.dtype) -> None:
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_missing_gpu_is_said() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(ValueError, match="must have a GPU"):
            choose_device("cuda")
