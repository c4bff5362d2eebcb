"""Time and memory of `swin-dense predict` on large images, with 100 objects in each.

    python benchmarks/large_images.py [--sizes 1333x800 8000x6000 12000x9000] [--threads 1]

Mask R-CNN Swin-T with random weights and no score threshold; `--anchor-scale 32` makes its objects
larger (16 times the area). Each size runs in a process of its own, whose peak is what the system
counted for it, imports, weights and image included. "Beyond" is all that the command does besides
the network: reading and resizing the image, pasting and encoding masks, drawing, writing.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring.machine import describe_machine
from measuring.memory import peak_memory
from measuring.processes import ask_process, print_answer

from swin_dense.heads import MODEL_VARIANTS, create_model, from_checkpoint, save_model
from swin_dense.tools import predict
from swin_dense.tools.tasks.table import find_task

MODEL = "mask_rcnn_swin_t"
SCALE = (1333, 800)


def main() -> None:
    """Print one row per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = ("1333x800", "8000x6000", "12000x9000")
    parser.add_argument("--sizes", nargs="+", default=sizes, metavar="WIDTHxHEIGHT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--anchor-scale", type=float, default=8.0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    if arguments.measure:
        print_answer(measure(arguments.measure))
        return
    print(f"{MODEL}, 100 objects an image, {describe_machine()}")
    print(f"{'image':>12}{'Mpx':>6}{'covered':>9}{'network s':>11}{'beyond s':>10}{'peak GiB':>10}")
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            write_inputs(Path(folder), (height, width), anchor_scale=arguments.anchor_scale)
            row = ask_process(__file__, ["--measure", folder, "--threads", arguments.threads])
        if row is None:
            print(f"{size:>12}{width * height / 1e6:6.0f}  out of memory", flush=True)
            continue
        print(
            f"{size:>12}{width * height / 1e6:6.0f}{row['covered']:9.2f}{row['network']:11.1f}"
            f"{row['beyond']:10.1f}{row['peak']:10.2f}",
            flush=True,
        )


def write_inputs(folder: Path, size: tuple[int, int], *, anchor_scale: float) -> None:
    """An image of soft noise and the weights of a model that finds 100 objects in any."""
    coarse = np.random.default_rng(0).integers(0, 256, (25, 33, 3)).astype(np.uint8)
    image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(folder / "image.jpg"), image)
    cv2.imwrite(str(folder / "small.jpg"), coarse)
    torch.manual_seed(0)
    config = MODEL_VARIANTS[MODEL]
    config = dataclasses.replace(
        config,
        rpn=dataclasses.replace(config.rpn, anchor_scale=anchor_scale),
        box=dataclasses.replace(config.box, score_threshold=0.0),
    )
    save_model(create_model(config), folder / "model.safetensors")


def measure(folder: Path) -> dict[str, float]:
    """Seconds and GiB of one command in this process; area of all boxes over the image's."""
    weights, path = folder / "model.safetensors", folder / "image.jpg"
    flags = {"out": folder / "out", "score_threshold": 0.0, "scale": SCALE, "device": "cpu"}
    predict(weights, folder / "small.jpg", **flags)  # imports, and what is done once in a process
    start = time.perf_counter()
    predict(weights, path, **flags)
    total = time.perf_counter() - start
    peak = peak_memory() / 2**10
    start = time.perf_counter()
    model = from_checkpoint(weights)
    loading = time.perf_counter() - start
    resized = find_task("detection").resize(cv2.imread(str(path)), SCALE)
    start = time.perf_counter()
    (result,) = model.predict([resized], masks="run_lengths")
    network = time.perf_counter() - start
    assert len(result["scores"]) == 100, len(result["scores"])
    sides = result["boxes"][:, 2:] - result["boxes"][:, :2]
    covered = float(sides.prod(dim=1).sum()) / (resized.shape[1] * resized.shape[2])
    beyond = total - loading - network
    return {"network": network, "beyond": beyond, "peak": peak, "covered": covered}


if __name__ == "__main__":
    main()
