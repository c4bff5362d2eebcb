"""Time a training step of Mask R-CNN Swin-T beside torchvision's Mask R-CNN on its own Swin-T.

    python benchmarks/training.py [--size 800 1216] [--images 2] [--rounds 5] [--device cpu]

A step is losses, gradients and AdamW, on images of one size; `ragged.py` has different sizes. Both
models have the same parts, sizes and random weights; drop path is off. One process, both in turn
within each round, medians. Peak memory is that of a process which runs a few steps of one model
alone. On a GPU both compute in bfloat16 where autocast allows, and the share of the time in which
the GPU is busy is taken from a profile of each.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from measuring.detection_batches import draw_images, draw_targets
from measuring.machine import describe_machine
from measuring.memory import peak_memory
from measuring.processes import ask_process, print_answer
from measuring.timing import time_in_turn
from peers.detectors import NAMES, Detector, make_detector, make_detectors, training_step

_MEMORY_STEPS = 3


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak-of", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.peak_of:
        step = make_step(make_detector(arguments.peak_of, device), arguments, device)
        print_answer(measure_peak(step, device))
        return
    detectors = make_detectors(device)
    steps = {name: make_step(detectors[name], arguments, device) for name in NAMES}
    seconds = time_in_turn(steps, rounds=arguments.rounds, device=device)
    busy = {
        name: busy_share(step) if device.type == "cuda" else None for name, step in steps.items()
    }
    peaks = {name: _peak_in_process(name, arguments) for name in NAMES}
    height, width = arguments.size
    dtype = "bfloat16" if device.type == "cuda" else "float32"
    print(f"Mask R-CNN Swin-T, {arguments.images} x 3 x {height} x {width}, {dtype}")
    print(describe_machine(device))
    print(f"{'':>12}{'s a step':>10}{'peak MiB':>10}{'GPU busy':>10}")
    for name in NAMES:
        share = "" if busy[name] is None else f"{busy[name]:.0%}"
        print(f"{name:>12}{seconds[name]:10.3f}{peaks[name]:10.0f}{share:>10}")
    ours, theirs = (seconds[name] for name in NAMES)
    print(f"torchvision / swin_dense: {theirs / ours:.2f}")


def make_step(
    detector: Detector, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], None]:
    """A function that trains one step on the batch that the flags describe."""
    sizes = [tuple(arguments.size)] * arguments.images
    targets = draw_targets(sizes, num_classes=detector.num_classes, device=device)
    return partial(training_step(detector), [(draw_images(sizes), targets)])


def busy_share(step: Callable[[], None], *, num_steps: int = 5) -> float:
    """Share of the time of some steps in which at least one kernel or copy runs on the GPU."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        start = time.perf_counter()
        for _ in range(num_steps):
            step()
        torch.cuda.synchronize()
        elapsed = 1e6 * (time.perf_counter() - start)  # us
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, end = 0.0, 0.0
    for first, last in spans:
        busy += max(last - max(first, end), 0)
        end = max(end, last)
    return busy / elapsed


def measure_peak(step: Callable[[], None], device: torch.device) -> float:
    """MiB of this process, or of the GPU, at the most within some steps."""
    for _ in range(_MEMORY_STEPS):
        step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


def _peak_in_process(name: str, arguments: argparse.Namespace) -> float:
    flags = ["--peak-of", name, "--device", arguments.device, "--images", arguments.images]
    flags += ["--size", *arguments.size, "--threads", arguments.threads]
    peak = ask_process(__file__, flags)
    return float("nan") if peak is None else peak


if __name__ == "__main__":
    main()
