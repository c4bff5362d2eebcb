"""Time a training step of Mask R-CNN Swin-T beside torchvision's Mask R-CNN on its own Swin-T.

    python benchmarks/training.py [--size 800 1216] [--images 2] [--rounds 5] [--device cpu]

A step is losses, gradients and AdamW. Both models have the same parts and sizes: FPN with 256
channels, the same anchors, 2000 boxes a level and 1000 proposals an image, 512 boxes an image to
train on, 81 classes with background; weights are random, drop path is off. One process, both in
turn within each round, medians. Peak memory is that of a process which runs a few steps of one
model alone. On a GPU both compute in bfloat16 where autocast allows, and the share of the time in
which the GPU is busy is taken from a profile of each.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import StochasticDepth
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from swin_dense.heads import MODEL_VARIANTS, create_model

NAMES = ("swin_dense", "torchvision")
_STAGES = (1, 3, 5, 7)  # of torchvision's `features`: after each the map of one stride
_CHANNELS = 256
_NUM_CLASSES = 80
_NUM_OBJECTS = 8
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
    images, targets = draw_batch(arguments.images, tuple(arguments.size), device)
    if arguments.peak_of:
        print(measure_peak(make_step(arguments.peak_of, images, targets, device), device))
        return
    steps = {name: make_step(name, images, targets, device) for name in NAMES}
    seconds = time_in_turn(steps, device, rounds=arguments.rounds)
    busy = {
        name: busy_share(step) if device.type == "cuda" else None for name, step in steps.items()
    }
    peaks = {name: _peak_in_process(name, arguments) for name in NAMES}
    height, width = arguments.size
    print(f"Mask R-CNN Swin-T, {arguments.images} x 3 x {height} x {width}, {describe(device)}")
    print(f"{'':>12}{'s a step':>10}{'peak MiB':>10}{'GPU busy':>10}")
    for name in NAMES:
        share = "" if busy[name] is None else f"{busy[name]:.0%}"
        print(f"{name:>12}{seconds[name]:10.3f}{peaks[name]:10.0f}{share:>10}")
    ours, theirs = (seconds[name] for name in NAMES)
    print(f"torchvision / swin_dense: {theirs / ours:.2f}")


def draw_batch(
    num_images: int, size: tuple[int, int], device: torch.device
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Noise, and elliptical objects of 40 px to half the image in it."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    images, targets = [], []
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    for _ in range(num_images):
        images.append(torch.randint(256, (3, height, width), generator=generator).byte())
        low, high = torch.tensor([40.0, 40.0]), torch.tensor([width / 2, height / 2])
        sides = low + (high - low) * torch.rand(_NUM_OBJECTS, 2, generator=generator)
        room = torch.tensor([width, height]) - sides
        corner = room * torch.rand(_NUM_OBJECTS, 2, generator=generator)
        centre, radius = corner + sides / 2, sides / 2
        masks = torch.stack(
            [
                ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
                for (cx, cy), (rx, ry) in zip(centre.tolist(), radius.tolist(), strict=True)
            ]
        )  # (G, H, W)
        target = {
            "boxes": torch.cat([corner, corner + sides], dim=1),
            "labels": torch.randint(_NUM_CLASSES, (_NUM_OBJECTS,), generator=generator),
            "masks": masks,
        }
        targets.append({name: value.to(device) for name, value in target.items()})
    return images, targets


def make_step(
    name: str, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]], device: torch.device
) -> Callable[[], None]:
    """A function that trains one step."""
    torch.manual_seed(0)
    make = make_ours if name == "swin_dense" else make_theirs
    model, losses = make(images, targets, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            total = sum(losses().values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def make_ours(
    images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]], device: torch.device
) -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """Our model and its losses."""
    config = MODEL_VARIANTS["mask_rcnn_swin_t"]
    config = replace(config, backbone=replace(config.backbone, drop_path_rate=0.0))
    model = create_model(config, num_classes=_NUM_CLASSES).to(device).train()
    return model, lambda: model(images, targets)


def make_theirs(
    images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]], device: torch.device
) -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """torchvision's model and its losses; it takes floats in 0..1 and labels from 1."""
    size = (images[0].shape[-2], images[0].shape[-1])
    model = MaskRCNN(
        SwinPyramid(),
        num_classes=_NUM_CLASSES + 1,
        min_size=min(size),
        max_size=max(size),
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5
        ),
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=1000,
    )
    model = model.to(device).train()
    theirs = [
        {
            "boxes": target["boxes"],
            "labels": target["labels"] + 1,
            "masks": target["masks"].byte(),
        }
        for target in targets
    ]
    return model, lambda: model([image.to(device) / 255 for image in images], theirs)


class SwinPyramid(nn.Module):
    """torchvision's Swin-T with its FPN and a fifth, pooled level.

    Attributes:
        out_channels: of every level.
    """

    out_channels = _CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.features = torchvision.models.swin_t().features
        for module in self.features.modules():
            if isinstance(module, StochasticDepth):
                module.p = 0.0
        self.norms = nn.ModuleList(nn.LayerNorm(96 * 2**level) for level in range(4))
        self.fpn = FeaturePyramidNetwork(
            [96 * 2**level for level in range(4)], _CHANNELS, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, pixels: Tensor) -> "OrderedDict[str, Tensor]":
        """Five maps of `(B, 3, H, W)`, fine to coarse."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        tokens = pixels
        for index, part in enumerate(self.features):
            tokens = part(tokens)  # (B, H, W, C) from the first on
            if index in _STAGES:
                level = _STAGES.index(index)
                maps[str(level)] = self.norms[level](tokens).permute(0, 3, 1, 2).contiguous()
        return self.fpn(maps)


def time_in_turn(
    steps: dict[str, Callable[[], None]], device: torch.device, *, rounds: int
) -> dict[str, float]:
    """Median seconds of each, after one step to warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            _wait(device)
            start = time.perf_counter()
            step()
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


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
    # Not getrusage, whose peak includes that of the process which started this one.
    status = Path("/proc/self/status").read_text()
    return float(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10


def describe(device: torch.device) -> str:
    """Processor or GPU, and the versions, that the figures are of."""
    if device.type == "cuda":
        return f"bfloat16, {torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"float32, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak_in_process(name: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--peak-of", name, "--device", arguments.device]
    command += ["--size", *map(str, arguments.size), "--images", str(arguments.images)]
    command += ["--threads", str(arguments.threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
