"""Tiny trainings for the tests, here and in processes of their own that can be killed."""

import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import BoxConfig, MaskConfig, MaskRCNNConfig, RPNConfig
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train

BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)
_PATIENCE = 120  # s that a process may take before a test gives up

# A server that has imported everything once; its children start in no time.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["swin_dense.tools.training.run", "swin_dense.tools.tasks.detection", "torch._dynamo"]
)


def detection_recipe(data: Path, *, steps: int, drop_path: float = 0.0) -> Recipe:
    """A detector of a few thousand weights, for drawn images of 64 px."""
    demo = find_recipe("mask_rcnn_demo")
    return replace(
        demo,
        model=MaskRCNNConfig(
            backbone=replace(BACKBONE, drop_path_rate=drop_path),
            fpn_channels=8,
            rpn=RPNConfig(train_nms_pre=20, train_max_proposals=20, test_max_proposals=10),
            box=BoxConfig(fc_channels=8, num_samples=8, max_detections=5),
            mask=MaskConfig(num_convs=1, channels=8),
        ),
        data=replace(demo.data, root=data, train_shorts=(48, 64), train_long=64, scale=(64, 64)),
        batch_size=2,
        steps=steps,
    )


def segmentation_recipe(data: Path, *, steps: int) -> Recipe:
    """A segmentor as small, without dropout: every process computes what one alone would."""
    demo = find_recipe("upernet_demo")
    return replace(
        demo,
        model=UPerNetConfig(
            backbone=BACKBONE,
            decoder_channels=8,
            pool_scales=(1, 2),
            dropout=0.0,
            auxiliary_channels=8,
        ),
        data=replace(demo.data, root=data, scale=(64, 64), crop=(64, 64)),
        batch_size=4,
        steps=steps,
    )


def small_options(recipe: Recipe, out: Path, **changes: Any) -> Options:
    """Options of a run on the CPU that logs every step."""
    defaults: dict[str, Any] = {"workers": 0, "log_every": 1, "device": "cpu"}
    return Options(recipe=recipe, out=out, **(defaults | changes))


def start_training(options: Options, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Train in another process, of a process group of its own, on one thread.

    What it says on stderr goes to a file beside the run's folder (`said`). Its exit status is 0
    when done, 2 after an expected error, which is the last line there.
    """
    options.run.parent.mkdir(parents=True, exist_ok=True)
    return _start(train, (options,), environment or {}, _stderr(options))


def said(options: Options) -> str:
    """Output of a process of `start_training`."""
    path = _stderr(options)
    return path.read_text() if path.is_file() else ""


def start_together(options: Options, *, num_processes: int) -> list[BaseProcess]:
    """Train in several processes of one host, as a launcher starts them."""
    return [start_training(options, environment) for environment in _environments(num_processes)]


def call_together(function: Callable[..., object], *arguments: Any, log: Path) -> None:
    """Call a function of a module of this folder in two processes; each must come to its end."""
    processes = [_start(function, arguments, environment, log) for environment in _environments(2)]
    for process in processes:
        process.join(_PATIENCE)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0, 0], log.read_text()


def finish(processes: Sequence[BaseProcess], options: Options) -> None:
    """Wait until all are done; say what went wrong if one is not."""
    for process in processes:
        process.join(_PATIENCE)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(processes), said(options)


def wait_for(condition: Callable[[], bool], process: BaseProcess, options: Options) -> None:
    """Wait until something is so, while a process lives."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert process.is_alive(), said(options)
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def weights(run: Path, *, name: str = "last", file: str = "model.safetensors") -> dict[str, Any]:
    """The tensors of a checkpoint."""
    return load_file(run / name / file)


def assert_same(left: Any, right: Any) -> None:
    """Nested dicts and lists hold the same tensors and values, to the bit."""
    if isinstance(left, Mapping):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


def losses(run: Path) -> list[dict[str, float]]:
    """Step, rate and every loss of each line of the log."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if "loss" in key or key in ("step", "rate")}
        for line in lines
        if "loss" in line
    ]


def _stderr(options: Options) -> Path:
    return options.run.with_name(f"{options.run.name}.stderr.txt")


def _environments(num_processes: int) -> list[dict[str, str]]:
    """Environment that a launcher sets for each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(num_processes),
            "LOCAL_WORLD_SIZE": str(num_processes),
        }
        for rank in range(num_processes)
    ]


def _start(
    function: Callable[..., object],
    arguments: Sequence[Any],
    environment: Mapping[str, str],
    log: Path,
) -> BaseProcess:
    process = _SERVER.Process(
        target=_call, args=(function, tuple(arguments), dict(environment), log)
    )
    process.start()
    return process


def _call(
    function: Callable[..., object],
    arguments: Sequence[Any],
    environment: Mapping[str, str],
    log: Path,
) -> None:
    os.setsid()
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # of workers; here it is the server's
    torch.set_num_threads(1)
    with log.open("a") as errors:
        os.dup2(errors.fileno(), 2)
    try:
        function(*arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
