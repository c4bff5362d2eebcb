"""Time Mask R-CNN Swin-T on one image beside torchvision's, and the share of each part.

    python benchmarks/inference.py [--size 800 1216] [--types float32 bfloat16] [--rounds 5]

Both models have the same parts, sizes and random weights, whose classifier is set so that some
hundred boxes pass the usual threshold and 100 detections with masks come out. One process, both in
turn within each round, medians; bfloat16 is autocast. The parts are timed in the same rounds, each
without what it calls of another part: their seconds are means, and the share is of all parts and of
what is in none of them.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from measuring.detection_batches import draw_images
from measuring.machine import describe_machine
from measuring.timing import Part, PartClock, time_in_turn
from peers.detectors import NAMES, Detector, make_detectors, spread_scores
from torch import Tensor

import swin_dense.heads.detection.roi_heads.interface as interface
import swin_dense.heads.detection.roi_heads.mask_head as mask_head
import swin_dense.heads.detection.roi_heads.standard as standard
import swin_dense.heads.detection.two_stage as two_stage

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PARTS = (
    *("backbone", "FPN", "RPN", "proposals", "RoIAlign", "box head", "suppression"),
    *("mask head", "pasting", "other"),
)
NUM_CANDIDATES = 400
NUM_DETECTIONS = 100


def main(flags: Sequence[str] | None = None) -> None:
    """Print one row per type, and one per part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--types", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(flags)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    height, width = arguments.size
    images = draw_images([(height, width)])
    detectors = make_detectors(device)
    spread_scores(detectors, images, num_candidates=NUM_CANDIDATES)
    print(f"Mask R-CNN Swin-T, 1 x 3 x {height} x {width}, {describe_machine(device)}; seconds")
    for dtype in arguments.types:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            check_detections(detectors, images)
            seconds, parts = measure(detectors, images, rounds=arguments.rounds, device=device)
        print(format_table(dtype, seconds, parts), flush=True)


def check_detections(detectors: dict[str, Detector], images: Sequence[Tensor]) -> None:
    """Run both once, and stop if one finds fewer than 100 objects in the image.

    Raises:
        SystemExit: it does.
    """
    for name, detector in detectors.items():
        (result,) = detector.predict(images)
        if len(result["scores"]) != NUM_DETECTIONS:
            raise SystemExit(
                f"error: {name} must find {NUM_DETECTIONS} objects, got {len(result['scores'])}"
            )


def measure(
    detectors: dict[str, Detector], images: Sequence[Tensor], *, rounds: int, device: torch.device
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Median seconds of each model, and mean seconds of its parts."""
    clocks = {name: PartClock(PARTS, device) for name in detectors}
    with ExitStack() as stack:
        runs = {}
        for name, detector in detectors.items():
            stack.enter_context(clocks[name].watch(list_parts(name, detector)))
            runs[name] = clocks[name].timed("other", partial(detector.predict, images))
        seconds = time_in_turn(runs, rounds=rounds, warmups=0, device=device)
    parts = {
        name: {part: total / rounds for part, total in clock.seconds.items()}
        for name, clock in clocks.items()
    }
    return seconds, parts


def list_parts(name: str, detector: Detector) -> list[Part]:
    """Where each part of a model is called."""
    model = detector.module
    if name == "swin_dense":
        return [
            Part("backbone", model.backbone, "forward"),
            Part("FPN", model.neck, "forward"),
            Part("RPN", model.rpn_head, "forward"),
            Part("proposals", two_stage, "propose"),
            Part("RoIAlign", standard, "pool_rois"),
            Part("RoIAlign", mask_head, "pool_rois"),
            Part("box head", model.roi_head.bbox_head, "forward"),
            Part("suppression", interface, "postprocess_boxes"),
            Part("mask head", model.roi_head.mask_head, "forward"),
            Part("pasting", interface, "rescale_to_original"),
        ]
    heads = model.roi_heads
    return [
        Part("backbone", model.backbone.body, "forward"),
        Part("FPN", model.backbone.fpn, "forward"),
        Part("RPN", model.rpn.head, "forward"),
        Part("proposals", model.rpn, "forward"),
        Part("RoIAlign", heads.box_roi_pool, "forward"),
        Part("RoIAlign", heads.mask_roi_pool, "forward"),
        Part("box head", heads.box_head, "forward"),
        Part("box head", heads.box_predictor, "forward"),
        Part("suppression", heads, "postprocess_detections"),
        Part("mask head", heads.mask_head, "forward"),
        Part("mask head", heads.mask_predictor, "forward"),
        Part("pasting", model.transform, "postprocess"),
    ]


def format_table(dtype: str, seconds: dict[str, float], parts: dict[str, dict[str, float]]) -> str:
    """One row for the whole, and one for each part: seconds and percent of ours and of theirs."""
    ours, theirs = (seconds[name] for name in NAMES)
    header = "".join(f"{name:>14}{'%':>5}" for name in NAMES)
    lines = [f"{dtype:>12}{header}{'theirs/ours':>13}"]
    lines += [f"{'all':>12}{ours:14.3f}{'':5}{theirs:14.3f}{'':5}{theirs / ours:13.2f}"]
    totals = {name: sum(parts[name].values()) for name in NAMES}
    for part in PARTS:
        cells = "".join(
            f"{parts[name][part]:14.3f}{100 * parts[name][part] / totals[name]:5.0f}"
            for name in NAMES
        )
        ratio = parts["torchvision"][part] / max(parts["swin_dense"][part], 1e-9)
        lines.append(f"{part:>12}{cells}{ratio:13.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
