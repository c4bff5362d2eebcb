"""Time Mask2Former Swin-T beside transformers' model of the same weights.

    python benchmarks/mask2former.py [--size 800 1216] [--images 1] [--rounds 5] [--device cpu]

Forward is the logits of the last layer; a step is losses, gradients and AdamW with the released
number of points, on objects that are drawn. One process, both in turn within each round, medians.
Peak memory is that of a process which runs one model alone, a few forwards or a few steps.
"""

import argparse
import tempfile
from collections.abc import Callable

import torch
from measuring.detection_batches import draw_images, draw_targets
from measuring.machine import describe_machine
from measuring.memory import peak_memory
from measuring.processes import ask_process, print_answer
from measuring.timing import time_in_turn
from torch import nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SwinConfig,
)

import swin_dense as sd
from swin_dense.padding import batch_images

NAMES = ("swin_dense", "transformers")
MODES = ("forward", "step")
_NUM_CLASSES = 80
_MEMORY_RUNS = 2


def main() -> None:
    """Print one row per model and mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--peak-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.peak_of:
        name, mode = arguments.peak_of
        print_answer(measure_peak(make_run(name, mode, arguments, device), device))
        return
    height, width = arguments.size
    print(f"Mask2Former Swin-T, {arguments.images} x 3 x {height} x {width}, float32")
    print(describe_machine(device))
    print(f"{'':>20}{'s':>10}{'peak MiB':>10}")
    for mode in arguments.modes:
        runs = {name: make_run(name, mode, arguments, device) for name in NAMES}
        seconds = time_in_turn(runs, rounds=arguments.rounds, device=device)
        del runs
        for name in NAMES:
            peak = _peak_in_process(name, mode, arguments)
            print(f"{name + ' ' + mode:>20}{seconds[name]:10.3f}{peak:10.0f}")
        ours, theirs = (seconds[name] for name in NAMES)
        print(f"{mode}: transformers / swin_dense: {theirs / ours:.2f}")


def make_run(
    name: str, mode: str, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], object]:
    """A forward or a training step of one model on the batch that the flags describe."""
    model = make_model(name).to(device)
    sizes = [tuple(arguments.size)] * arguments.images
    images = draw_images(sizes)
    if mode == "forward":
        model.eval()
        pixels = batch_images(images, device).pixels
        if name == "swin_dense":
            return lambda: model.outputs(images)
        return lambda: _without_gradient(model, pixels)
    targets = draw_targets(sizes, num_classes=_NUM_CLASSES, device=device)
    labels = [target["labels"] for target in targets]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    model.train()

    def step() -> None:
        if name == "swin_dense":
            loss = sum(model(images, targets).values())
        else:
            masks = [target["masks"].float() for target in targets]
            pixels = batch_images(images, device).pixels
            loss = model(pixels, mask_labels=masks, class_labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def make_model(name: str) -> nn.Module:
    """One of the two models; both have the weights that transformers draws."""
    torch.manual_seed(0)
    stages = [f"stage{i}" for i in range(1, 5)]
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(drop_path_rate=0.0, out_features=stages),
        num_labels=_NUM_CLASSES,
    )
    theirs = Mask2FormerForUniversalSegmentation(config)
    if name == "transformers":
        return theirs
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return sd.heads.from_checkpoint(folder)


def measure_peak(run: Callable[[], object], device: torch.device) -> float:
    """MiB of this process, or of the GPU, at the most within some runs."""
    for _ in range(_MEMORY_RUNS):
        run()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


@torch.no_grad()
def _without_gradient(model: nn.Module, pixels: torch.Tensor) -> object:
    return model(pixels)


def _peak_in_process(name: str, mode: str, arguments: argparse.Namespace) -> float:
    flags = ["--peak-of", name, mode, "--device", arguments.device, "--images", arguments.images]
    flags += ["--size", *arguments.size, "--threads", arguments.threads]
    peak = ask_process(__file__, flags)
    return float("nan") if peak is None else peak


if __name__ == "__main__":
    main()
