"""Time Mask R-CNN Swin-T on batches of images of different sizes beside torchvision's, which pads.

    python benchmarks/ragged.py [--work forward train] [--images 2 4 8] [--rounds 3] [--scale 1]

The sizes are those that the 3x recipe draws from COCO's photographs, grouped by its sampler: of 64
batches the one with the median padding, which the line below a table's head gives as pixels with
padding over pixels of the images. Both models have the same parts, sizes and random weights;
`forward` is with 100 detections an image, `train` is losses, gradients and AdamW. `one by one` is
ours on a batch of each image alone, in training with the gradients added up. All take turns within
each round, medians. Peak memory is that of a process which holds one model and does the work once;
where that was out of memory, or of --limit seconds, "-" stands for all its figures. `--scale`
shrinks the images for a quick trial.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from measuring.detection_batches import (
    RECIPE,
    Size,
    draw_images,
    draw_sizes,
    draw_targets,
    padding_ratio,
    scale_sizes,
    typical_batch,
)
from measuring.machine import describe_machine
from measuring.memory import available_memory, peak_memory
from measuring.processes import ask_process, print_answer
from measuring.timing import time_in_turn
from peers.detectors import (
    NAMES,
    Batch,
    Detector,
    make_detector,
    make_detectors,
    spread_scores,
    training_step,
)

WORK = ("forward", "train")
CANDIDATES = ("swin_dense", "one by one", "torchvision")
NUM_BATCHES = 64  # drawn, of which one is measured
NUM_CANDIDATES = 400
_SMALL: list[Size] = [(96, 96), (64, 128)]  # what is done once in a process is done on these
_MEMORY_SHARE = 0.9  # of what is available, that a process may hold


def main(flags: Sequence[str] | None = None) -> None:
    """Print one table per kind of work, and in it one row per size of batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--images", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--limit", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--peak-of", nargs=3, metavar=("NAME", "WORK", "FILE"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args(flags)
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        name, work, weights = arguments.peak_of
        (num_images,) = arguments.images
        sizes = recipe_sizes(num_images, arguments)
        print_answer(measure_peak(name, work, sizes, Path(weights)))
        return
    print(f"Mask R-CNN Swin-T, sizes of {RECIPE} times {arguments.scale:g}, {describe_machine()}")
    for work in arguments.work:
        print(format_header(work))
        for num_images in arguments.images:
            sizes = recipe_sizes(num_images, arguments)
            seconds, peaks = measure(work, sizes, arguments)
            print(format_row(sizes, seconds, peaks), flush=True)


def recipe_sizes(num_images: int, arguments: argparse.Namespace) -> list[Size]:
    """Sizes of the batch that is measured."""
    batches = draw_sizes(num_images, NUM_BATCHES, seed=arguments.seed)
    return scale_sizes(typical_batch(batches), arguments.scale)


def measure(
    work: str, sizes: Sequence[Size], arguments: argparse.Namespace
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each candidate and peak MiB of each model; what had no room is missing."""
    detectors = make_detectors(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        if work == "forward":
            spread_scores(detectors, draw_images(sizes), num_candidates=NUM_CANDIDATES)
        peaks = {}
        for name in NAMES:
            weights = Path(folder) / f"{name}.pt"
            torch.save(detectors[name].module.state_dict(), weights)
            flags = ["--peak-of", name, work, weights, "--images", len(sizes)]
            flags += ["--scale", arguments.scale, "--seed", arguments.seed]
            flags += ["--threads", arguments.threads]
            peak = ask_process(
                __file__,
                flags,
                max_seconds=arguments.limit,
                max_memory=_MEMORY_SHARE * available_memory(),
            )
            if peak is not None:
                peaks[name] = peak
    runs = {
        candidate: make_run(detectors, candidate, work, sizes)
        for candidate in CANDIDATES
        if model_of(candidate) in peaks
    }
    return time_in_turn(runs, rounds=arguments.rounds, warmups=0), peaks


def model_of(candidate: str) -> str:
    """Name of the model that a candidate runs."""
    return "swin_dense" if candidate == "one by one" else candidate


def make_run(
    detectors: dict[str, Detector], candidate: str, work: str, sizes: Sequence[Size]
) -> Callable[[], None]:
    """A function that does the work once; it has been done on small images before."""
    detector = detectors[model_of(candidate)]
    batches = split_batch(sizes, detector, is_whole=candidate != "one by one")
    small = split_batch(_SMALL, detector, is_whole=True)
    if work == "train":
        step = training_step(detector)
        step(small)  # from here on there are AdamW's moments
        return partial(step, batches)
    predict_all(detector, small)
    return partial(predict_all, detector, batches)


def split_batch(sizes: Sequence[Size], detector: Detector, *, is_whole: bool) -> list[Batch]:
    """Images and objects of those sizes, in one batch or each in its own."""
    images = draw_images(sizes)
    targets = draw_targets(sizes, num_classes=detector.num_classes, device=torch.device("cpu"))
    if is_whole:
        return [(images, targets)]
    return [([image], [target]) for image, target in zip(images, targets, strict=True)]


def predict_all(detector: Detector, batches: Sequence[Batch]) -> None:
    """Predict on each batch."""
    for images, _ in batches:
        detector.predict(images)


def measure_peak(name: str, work: str, sizes: Sequence[Size], weights: Path) -> float:
    """MiB of this process at the most, while one model does the work once."""
    detector = make_detector(name, torch.device("cpu"))
    detector.module.load_state_dict(torch.load(weights, mmap=True, weights_only=True))
    make_run({name: detector}, name, work, sizes)()
    return peak_memory()


def format_header(work: str) -> str:
    """Names of the columns."""
    times = "".join(f"{name + ' s':>15}" for name in CANDIDATES)
    memory = "".join(f"{name + ' MiB':>17}" for name in NAMES)
    return f"{work:>8}{'Mpx':>7}{'padded':>8}{times}{'torchvision/ours':>18}{memory}"


def format_row(sizes: Sequence[Size], seconds: dict[str, float], peaks: dict[str, float]) -> str:
    """One batch: what is missing is a dash."""
    megapixels = sum(height * width for height, width in sizes) / 1e6
    ratio = None
    if all(name in seconds for name in NAMES):
        ratio = seconds["torchvision"] / seconds["swin_dense"]
    return (
        f"{len(sizes):8}{megapixels:7.2f}{padding_ratio(sizes):8.2f}"
        + "".join(_format_cell(seconds.get(name), 15, digits=2) for name in CANDIDATES)
        + _format_cell(ratio, 18, digits=2)
        + "".join(_format_cell(peaks.get(name), 17, digits=0) for name in NAMES)
    )


def _format_cell(value: float | None, width: int, *, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


if __name__ == "__main__":
    main()
