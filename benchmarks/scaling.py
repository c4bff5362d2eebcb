"""Time and memory of one image from 512² to 8K: Swin-T, ours and torchvision's, beside DeiT-S.

    python benchmarks/scaling.py [--models swin_dense torchvision deit_s] [--sizes 512 1080p 4k 8k]
        [--limit 600] [--json docs/figures/scaling.json]

Forward of the backbone alone, float32, random weights. Each model and size has a process of its
own, whose peak is what the system counted for it, imports, weights and image included; "KiB a
pixel" is by how much the forward raised it. Seconds are the median of the forwards that fit into
20 s, at least one, after one of a small image. A process that takes more than `--limit` seconds, or
more memory than there is, leaves a "-", and larger images are not tried. DeiT-S has patches of
16 px and global attention; its images are padded to whole patches (1080p has 1088 rows).

`--json` keeps the figures: those of other models and sizes in the file stay. From it
`docs/figures/scaling.py` draws the picture of the documentation.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measuring.machine import describe_machine
from measuring.memory import available_memory, peak_memory, reset_peak_memory, resident_memory
from measuring.processes import ask_process, print_answer
from measuring.timing import read_clock
from peers.backbones import timm_deit_s, torchvision_swin_t
from torch import nn

import swin_dense as sd

SIZES = {"512": (512, 512), "1080p": (1080, 1920), "4k": (2160, 3840), "8k": (4320, 7680)}
MODELS = ("swin_dense", "torchvision", "deit_s")
_SMALL = (224, 224)
_SECONDS = 20.0
_MEMORY_SHARE = 0.9  # of what is available, that a process may hold
_PATCH = 16


def main(flags: Sequence[str] | None = None) -> None:
    """Print one row per model and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--limit", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(flags)
    torch.set_num_threads(arguments.threads)
    if arguments.measure:
        (name,), (size,) = arguments.models, arguments.sizes
        print_answer(measure(name, SIZES[size]))
        return
    machine = describe_machine()
    print(f"backbone, float32, one image, {machine}")
    print(f"{'':>12}{'image':>7}{'Mpx':>7}{'s':>9}{'s/Mpx':>8}{'peak GiB':>10}{'KiB a pixel':>13}")
    figures: dict[str, Any] = {}
    for name in arguments.models:
        figures[name] = {}
        for size in arguments.sizes:
            failed = None in figures[name].values()
            row = None if failed else ask(name, size, arguments)
            figures[name][size] = row
            print(format_row(name, size, row), flush=True)
    if arguments.json:
        store(arguments.json, machine, figures)


def ask(name: str, size: str, arguments: argparse.Namespace) -> dict[str, float] | None:
    """Measure in a new process; None: it was out of time or memory."""
    flags = ["--measure", "--models", name, "--sizes", size, "--threads", arguments.threads]
    return ask_process(
        __file__,
        flags,
        max_seconds=arguments.limit,
        max_memory=_MEMORY_SHARE * available_memory(),
    )


@torch.no_grad()
def measure(name: str, size: tuple[int, int]) -> dict[str, float]:
    """Seconds of a forward, MiB of this process at the most, and MiB that the forward added."""
    height, width = size
    if name == "deit_s":
        height, width = (-(-side // _PATCH) * _PATCH for side in size)
        warm_up(make_backbone(name, _SMALL))
    model = make_backbone(name, (height, width)).eval()
    if name != "deit_s":
        warm_up(model)
    pixels = torch.randn(1, 3, height, width)
    before, earlier_peak = resident_memory(), peak_memory()
    reset_peak_memory()
    times: list[float] = []
    while not times or sum(times) + times[-1] < _SECONDS:
        start = read_clock()
        model(pixels)
        times.append(read_clock() - start)
    peak = peak_memory()
    return {
        "seconds": statistics.median(times),
        "peak": max(peak, earlier_peak),
        "added": peak - before,
    }


def make_backbone(name: str, size: tuple[int, int]) -> nn.Module:
    """One of `MODELS` in eval mode, for images of a size."""
    torch.manual_seed(0)
    if name == "deit_s":
        return timm_deit_s(size).eval()
    return (sd.create_backbone("swin_t") if name == "swin_dense" else torchvision_swin_t()).eval()


def warm_up(model: nn.Module) -> None:
    """Do what is done once in a process."""
    model(torch.randn(1, 3, *_SMALL))


def format_row(name: str, size: str, row: dict[str, float] | None) -> str:
    """One line of the table."""
    height, width = SIZES[size]
    pixels = height * width
    start = f"{name:>12}{size:>7}{pixels / 1e6:7.2f}"
    if row is None:
        return start + "".join(f"{'-':>{columns}}" for columns in (9, 8, 10, 13))
    return (
        f"{start}{row['seconds']:9.2f}{row['seconds'] / pixels * 1e6:8.2f}"
        f"{row['peak'] / 2**10:10.2f}{row['added'] * 2**10 / pixels:13.3f}"
    )


def store(path: Path, machine: str, figures: dict[str, Any]) -> None:
    """Put figures into a file, in place of those of the same model and size on the same machine."""
    stored = json.loads(path.read_text()) if path.exists() else {"machine": machine, "models": {}}
    if stored["machine"] != machine:
        raise SystemExit(
            f"error: {path} must be of one machine, got figures of {machine} for those of "
            f"{stored['machine']}; remove it first"
        )
    for name, rows in figures.items():
        stored["models"].setdefault(name, {}).update(rows)
    path.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    main()
