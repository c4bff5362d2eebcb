"""Time the training pipelines: images a second on one core, split into their parts.

    python benchmarks/data.py [--data.coco DIR] [--data.ade DIR] [--images 80] [--rounds 5]

One process, one thread. Each round runs every pipeline over the same images with new random
numbers, ours and OpenMMLab's (where it is installed) in turn; the table has the median round.
`decode` is from the file to RGB pixels (and to the label map), `transform` the augmentation of
image and annotations, `targets` all else that makes a sample: for detection the masks' run lengths.
OpenMMLab's pipelines end with bitmaps instead, which ours makes on the training's device; below a
row is what that adds where the device is the CPU.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch
from measuring.timing import PartClock

from swin_dense.datasets.masks import bitmaps_from_runs
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.tasks.detection import DetectionTask
from swin_dense.tools.tasks.segmentation import SegmentationTask

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """A pipeline: ours as a data set, and how OpenMMLab's is called in `openmmlab_pipelines`."""

    name: str
    dataset: Any
    peer: str
    folder: Path


def main() -> None:
    """Print one row for each pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data.coco", dest="coco", type=Path, default=_SHARED / "coco_mini")
    parser.add_argument("--data.ade", dest="ade", type=Path, default=_SHARED / "ade_mini")
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    cases = make_cases(arguments.coco, arguments.ade)
    peers = find_peers(cases)
    print(f"{arguments.images} images, one thread, median of {arguments.rounds} rounds")
    head = (
        "images/s",
        "decode ms",
        "transform ms",
        "targets ms",
        "sum ms",
        "OpenMMLab ms",
        "ratio",
    )
    print(f"{'':18}" + "".join(f"{name:>14}" for name in head))
    for case in cases:
        rounds = [
            (time_ours(case, number, arguments.images), time_theirs(case, peers, arguments.images))
            for number in range(arguments.rounds)
        ]
        bitmaps = time_bitmaps(case, arguments.images)
        print_row(case, rounds, bitmaps=bitmaps, num_images=arguments.images)


def make_cases(coco: Path, ade: Path) -> list[Case]:
    """Our three pipelines, as the recipes have them."""

    def case(name: str, peer: str, *, recipe: str, root: Path, task: Any) -> Case:
        data = replace(find_recipe(recipe).data, root=root)
        return Case(name, task.training_data(data, seed=0), peer, root)

    detection, segmentation = DetectionTask(), SegmentationTask()
    one_scale, scales = "mask_rcnn_swin_t_mmdet_coco_1x", "mask_rcnn_swin_t_mmdet_coco_3x"
    return [
        case("detection 1x", "detection_1x", recipe=one_scale, root=coco, task=detection),
        case("detection 3x", "detection_3x", recipe=scales, root=coco, task=detection),
        case("ADE20K", "ade20k", recipe="upernet_swin_t_ade20k_160k", root=ade, task=segmentation),
    ]


def find_peers(cases: Sequence[Case]) -> dict[str, Any]:
    """OpenMMLab's data sets by our names, where its packages are installed."""
    missing = [name for name in ("mmdet", "mmseg") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"not installed, so not measured beside: {', '.join(missing)}")
        return {}
    from peers import openmmlab_pipelines

    return {case.name: openmmlab_pipelines.DATASETS[case.peer](case.folder) for case in cases}


def time_ours(case: Case, number: int, num_images: int) -> dict[str, float]:
    """Seconds of a round over the images, by part."""
    dataset, clock = case.dataset, PartClock(("decode", "transform"))
    transforms = dataset.transforms
    loaders = [name for name in ("load_image", "load_label_map") if hasattr(dataset, name)]
    dataset.transforms = _TimedTransforms(transforms, clock)
    for name in loaders:
        setattr(dataset, name, clock.timed("decode", getattr(dataset, name)))
    start = time.perf_counter()
    for place in range(num_images):
        epoch = number * num_images + place // len(dataset)
        dataset[(place % len(dataset), epoch)]
    total = time.perf_counter() - start
    dataset.transforms = transforms
    for name in loaders:
        delattr(dataset, name)  # the class has it still
    return clock.seconds | {"targets": total - sum(clock.seconds.values()), "sum": total}


def time_theirs(case: Case, peers: dict[str, Any], num_images: int) -> float | None:
    """Seconds of a round over the images."""
    if case.name not in peers:
        return None
    dataset = peers[case.name]
    start = time.perf_counter()
    for place in range(num_images):
        dataset[place % len(dataset)]
    return time.perf_counter() - start


def time_bitmaps(case: Case, num_images: int) -> float:
    """Seconds that the bitmaps of all masks take on the CPU; 0 for segmentation."""
    total = 0.0
    for place in range(num_images):
        sample = case.dataset[(place % len(case.dataset), place)]
        if "mask_counts" in sample:
            size = tuple(sample["image"].shape[1:])
            start = time.perf_counter()
            bitmaps_from_runs(sample["mask_counts"], sample["mask_num_runs"], size)
            total += time.perf_counter() - start
    return total


def print_row(
    case: Case,
    rounds: Sequence[tuple[dict[str, float], float | None]],
    *,
    bitmaps: float,
    num_images: int,
) -> None:
    """One pipeline's milliseconds an image."""
    ours = {
        part: 1000 * statistics.median(parts[part] for parts, _ in rounds) / num_images
        for part in ("decode", "transform", "targets", "sum")
    }
    row = f"{case.name:18}{1000 / ours['sum']:14.1f}" + "".join(
        f"{ms:14.2f}" for ms in ours.values()
    )
    with_bitmaps = ours["sum"] + 1000 * bitmaps / num_images
    note = f"{'':18}with bitmaps made on the CPU {with_bitmaps:.2f} ms"
    theirs = [seconds for _, seconds in rounds if seconds is not None]
    if theirs:
        peer = 1000 * statistics.median(theirs) / num_images
        row += f"{peer:14.2f}{peer / ours['sum']:14.2f}"
        note += f", ratio {peer / with_bitmaps:.2f}"
    print(row, flush=True)
    if bitmaps:
        print(note, flush=True)


class _TimedTransforms:
    """A pipeline that counts its calls' time and is otherwise the one it holds."""

    def __init__(self, transforms: Any, clock: PartClock) -> None:
        self._transforms = transforms
        self._call = clock.timed("transform", transforms)

    def __call__(self, **targets: Any) -> Any:
        return self._call(**targets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transforms, name)


if __name__ == "__main__":
    main()
