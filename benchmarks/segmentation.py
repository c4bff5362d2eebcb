"""Time UPerNet Swin-T's forward beside transformers' model with the same weights.

    python benchmarks/segmentation.py [--size 512 512] [--rounds 9] [--threads 2]

One process, both models in turn within each round, medians; float32 and bfloat16 on the CPU. Both
give logits at the size of the image; transformers' auxiliary head, which it would run as well, is
left out. Peak memory is how much one forward adds, each in a process of its own.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
import transformers
from measuring.machine import describe_machine
from measuring.memory import peak_memory, reset_peak_memory, resident_memory
from measuring.processes import ask_process, print_answer
from measuring.timing import time_in_turn
from torch import Tensor

import swin_dense as sd
from swin_dense.heads import create_model
from swin_dense.heads.segmentation.resizing import resize_maps

NAMES = ("swin_dense", "transformers")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Print one row per type."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-of", nargs=2, metavar=("NAME", "TYPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    height, width = arguments.size
    if arguments.peak_of:
        name, dtype = arguments.peak_of
        print_answer(measure_peak(name, (height, width), DTYPES[dtype]))
        return
    print(f"UPerNet Swin-T, 150 classes, 1 x 3 x {height} x {width}, {describe_machine()}")
    print(f"{'':>9}{'ours ms':>10}{'theirs ms':>11}{'ratio':>7}{'ours MiB':>10}{'theirs MiB':>12}")
    for dtype in DTYPES:
        pixels = torch.randn(1, 3, height, width).to(DTYPES[dtype])
        forwards = make_forwards(DTYPES[dtype])
        check_equal(forwards, pixels)
        runs = {name: partial(forward, pixels) for name, forward in forwards.items()}
        with torch.inference_mode():
            seconds = time_in_turn(runs, rounds=arguments.rounds)
        ours, theirs = (1000 * seconds[name] for name in NAMES)
        peaks = [_peak_in_process(name, dtype, arguments) for name in NAMES]
        print(
            f"{dtype:>9}{ours:10.0f}{theirs:11.0f}{theirs / ours:7.2f}"
            f"{peaks[0]:10.0f}{peaks[1]:12.0f}",
            flush=True,
        )


def make_forwards(dtype: torch.dtype) -> dict[str, Callable[[Tensor], Tensor]]:
    """Both models with the same random weights, as functions from pixels to full-size logits."""
    torch.manual_seed(0)
    backbone = sd.SWIN_VARIANTS["swin_t"]
    theirs = transformers.UperNetForSemanticSegmentation(
        transformers.UperNetConfig(
            backbone_config=transformers.SwinConfig(
                embed_dim=backbone.embed_dim,
                depths=list(backbone.depths),
                num_heads=list(backbone.num_heads),
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            num_labels=150,
        )
    )
    ours = create_model("upernet_swin_t", num_classes=150)
    sd.load_weights(ours, theirs.state_dict())
    theirs.auxiliary_head = None
    ours, theirs = ours.eval().to(dtype), theirs.eval().to(dtype)
    return {
        "swin_dense": lambda pixels: resize_maps(
            ours.decode_head(ours.backbone(pixels)), tuple(pixels.shape[-2:])
        ),
        "transformers": lambda pixels: theirs(pixels).logits,
    }


@torch.inference_mode()
def check_equal(forwards: dict[str, Callable[[Tensor], Tensor]], pixels: Tensor) -> None:
    """Stop if the models differ by more than their precision allows."""
    ours, theirs = (forwards[name](pixels).float() for name in NAMES)
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    limit = 1e-4 if pixels.dtype == torch.float32 else 0.1
    if error > limit:
        raise SystemExit(f"error: logits differ by {error:.1e} of the largest, over {limit}")


@torch.inference_mode()
def measure_peak(name: str, size: tuple[int, int], dtype: torch.dtype) -> float:
    """MiB by which the first forward of one model raises the peak of this process."""
    forward = make_forwards(dtype)[name]
    pixels = torch.randn(1, 3, *size).to(dtype)
    before = resident_memory()
    reset_peak_memory()
    forward(pixels)
    return peak_memory() - before


def _peak_in_process(name: str, dtype: str, arguments: argparse.Namespace) -> float:
    flags = ["--peak-of", name, dtype, "--size", *arguments.size, "--threads", arguments.threads]
    peak = ask_process(__file__, flags)
    return float("nan") if peak is None else peak


if __name__ == "__main__":
    main()
