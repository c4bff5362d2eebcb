"""Time the extraction of features into a store, and the reading of it.

    cd benchmarks
    python -m programs.features [--parts photographs feeding tiny reading index]
        [--photographs DIR] [--images 24] [--rounds 3] [--tiny 10000] [--entries 1000000]
        [--folder DIR]

* photographs: Swin-T in float16, images decoded, features written to `--folder` and synced, beside
  the bare forward of the same images, decoded before, one at a time. Rounds of each in turn; the
  table has their medians.
* feeding: the same without the forward, features are there at once: the images a second that
  reading, writing and syncing keep up with, on as many cores as torch has threads.
* tiny: `--tiny` images of 32 x 32 px, beside the bare forward of the same images in batches as
  large; memory of the process after a tenth of them and at the end.
* reading: the store of the photographs read in order and at random, beside the same files read as
  bytes; the system's cache of them is emptied before each.
* index: a store of `--entries` images without content, opened in fresh processes.

Weights are random: they do not change the time.
"""

import argparse
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measuring.feature_index import time_opening
from PIL import Image

import swin_dense as sd
from swin_dense.datasets.features.feature_store import FeatureStore
from swin_dense.datasets.features.inputs import find_images
from swin_dense.datasets.features.layout import SHARDS
from swin_dense.tools.features.extractor import Extractor, ExtractorConfig, ImageArrays
from swin_dense.tools.features.pipeline import make_shards
from swin_dense.tools.features.plan import make_plan
from swin_dense.tools.features.reading import load_image

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco_mini" / "val2017"
_PARTS = ("photographs", "feeding", "tiny", "reading", "index")


def main() -> None:
    """Print what each part measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--photographs", type=Path, default=_SHARED)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        weights = folder / "swin_t.pth"
        torch.save(sd.create_backbone("swin_t").state_dict(), weights)
        if {"photographs", "reading"} & set(arguments.parts):
            time_photographs(arguments, weights, folder / "photographs")
        if "feeding" in arguments.parts:
            time_feeding(arguments, weights, folder / "feeding")
        if "tiny" in arguments.parts:
            time_tiny(arguments.tiny, weights, folder / "tiny")
        if "reading" in arguments.parts:
            time_reading(folder / "photographs", rounds=arguments.rounds)
        if "index" in arguments.parts:
            time_opening(arguments.entries, folder / "index")


def make_extractor(weights: Path) -> Extractor:
    """Swin-T as `swin-dense features` makes it without flags."""
    return Extractor(
        ExtractorConfig(
            weights=str(weights),
            pyramid="backbone",
            levels=None,
            dtype="float16",
            pool="none",
            scale=None,
            precision="fp32",
            device="auto",
            threads=torch.get_num_threads(),
        )
    )


def extract(photographs: list[Path], extractor: Any, folder: Path) -> float:
    """Seconds to fill a store from its plan to its last shard; startup is left out."""
    folder.mkdir(parents=True)
    begin = time.perf_counter()
    images = find_images(photographs)
    plan = make_plan(folder, images, extractor.description, inputs=[], run={})
    for _ in make_shards(plan.tasks, extractor, folder / SHARDS, num_workers=2):
        pass
    return time.perf_counter() - begin


# ------------------------------------------------------------------------------------ photographs


def time_photographs(arguments: argparse.Namespace, weights: Path, folder: Path) -> None:
    """Extraction beside the bare forward; the last store is left in `folder`."""
    paths = sorted(arguments.photographs.glob("*.jpg"))[: arguments.images]
    extractor = make_extractor(weights)
    backbone = sd.create_backbone("swin_t", weights=weights).eval()
    images = [
        torch.from_numpy(sd.datasets.read_image(path)).permute(2, 0, 1).contiguous()
        for path in paths
    ]
    megapixels = sum(image.shape[1] * image.shape[2] for image in images) / 1e6
    forward(backbone, images[:2])
    bare, whole = [], []
    for _ in range(arguments.rounds):
        bare.append(timed(lambda: forward(backbone, images)))
        shutil.rmtree(folder, ignore_errors=True)
        whole.append(extract(paths, extractor, folder))
    size = sum(path.stat().st_size for path in (folder / SHARDS).iterdir())
    seconds = statistics.median(bare), statistics.median(whole)
    mean = megapixels / len(paths)
    print(f"photographs: {len(paths)} of {mean:.2f} megapixels, store of {size / 1e6:.0f} MB")
    print(f"  bare forward    {1e3 * seconds[0] / len(paths):8.1f} ms an image")
    print(f"  extraction      {1e3 * seconds[1] / len(paths):8.1f} ms an image")
    print(f"  ratio           {seconds[1] / seconds[0]:8.3f}   rounds " + ratios(bare, whole))


@torch.no_grad()
def forward(backbone: torch.nn.Module, images: list[torch.Tensor], *, batch_size: int = 1) -> None:
    """The bare forward of images of one size, or of one image at a time."""
    for start in range(0, len(images), batch_size):
        backbone(sd.batch_images(images[start : start + batch_size]).pixels)


def timed(function: Callable[[], None]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def ratios(bare: list[float], whole: list[float]) -> str:
    """Of each round."""
    return " ".join(f"{b / a:.3f}" for a, b in zip(bare, whole, strict=True))


# ----------------------------------------------------------------------------------------- feeding


class ReadyFeatures:
    """In place of an extractor: values of the right shapes without any work."""

    def __init__(self, extractor: Extractor) -> None:
        self.description, self.device = extractor.description, extractor.device
        self._values = np.random.default_rng(0).standard_normal(1 << 24, np.float32)
        self._values = self._values.astype(np.float16)

    def start(self, images: list[np.ndarray]) -> "ReadyFeatures":
        """Remember the sizes."""
        answer = object.__new__(ReadyFeatures)
        answer.__dict__ = {**self.__dict__, "images": images}
        return answer

    def wait(self) -> list[ImageArrays]:
        """Views of the values."""
        return [
            ImageArrays(
                {
                    f"level_{level}": self._values[: c * h * w].reshape(c, h, w)
                    for level, (c, h, w) in enumerate(self.description.map_sizes(image.shape[:2]))
                }
            )
            for image in self.images
        ]


def time_feeding(arguments: argparse.Namespace, weights: Path, folder: Path) -> None:
    """All but the forward: as they are, and at the scale of detection."""
    paths = sorted(arguments.photographs.glob("*.jpg"))[: arguments.images]
    extractor = make_extractor(weights)
    print(f"feeding: {len(paths)} photographs, features are there at once")
    for scale in (None, (1333, 800)):
        extractor.description = replace(extractor.description, scale=scale)
        seconds = []
        for _ in range(arguments.rounds):
            shutil.rmtree(folder, ignore_errors=True)
            seconds.append(extract(paths, ReadyFeatures(extractor), folder))
        size = sum(path.stat().st_size for path in (folder / SHARDS).iterdir()) / 1e6
        cv2.setNumThreads(0)
        begin = time.perf_counter()
        for file in find_images(paths).values():
            load_image(file, scale=scale)
        decoding = (time.perf_counter() - begin) / len(paths)
        rate = len(paths) / statistics.median(seconds)
        name = "as they are" if scale is None else "fitted into 1333 x 800"
        print(
            f"  {name:22} {rate:8.1f} images/s, {rate * size / len(paths):.0f} MB/s written; "
            f"reading an image takes {1e3 * decoding:.1f} ms of a core"
        )
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------ tiny images


def time_tiny(count: int, weights: Path, folder: Path) -> None:
    """Cost of an image besides its forward, and memory over many images."""
    (folder / "images").mkdir(parents=True)
    source = np.random.default_rng(0)
    for number in range(count):
        pixels = source.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:06}.png", compress_level=0)
    extractor = make_extractor(weights)
    backbone = sd.create_backbone("swin_t", weights=weights).eval()
    images = [torch.from_numpy(source.integers(0, 256, (3, 32, 32), dtype=np.uint8))] * count
    forward(backbone, images[:64], batch_size=64)
    bare = timed(lambda: forward(backbone, images, batch_size=64))
    (folder / "store").mkdir()
    begin = time.perf_counter()
    plan = make_plan(
        folder / "store",
        find_images([folder / "images"]),
        extractor.description,
        inputs=[],
        run={},
    )
    done, early = 0, 0.0
    for report in make_shards(plan.tasks, extractor, folder / "store" / SHARDS, num_workers=2):
        done += report.num_images
        if not early and done >= count // 10:
            early = resident()
    whole = time.perf_counter() - begin
    print(f"tiny: {count:,} images of 32 x 32 px")
    print(f"  bare forward    {1e3 * bare / count:8.2f} ms an image, 64 at a time")
    print(f"  extraction      {1e3 * whole / count:8.2f} ms an image")
    print(f"  overhead        {1e3 * (whole - bare) / count:8.2f} ms an image")
    print(f"  memory          {early:8.0f} MiB after a tenth, {resident():.0f} MiB at the end")


def resident() -> float:
    """Memory of this process now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


# ----------------------------------------------------------------------------------------- reading


def time_reading(folder: Path, *, rounds: int) -> None:
    """In order and at random, beside plain reading of the same files."""
    shards = sorted((folder / SHARDS).glob("*.tar"))
    size = sum(path.stat().st_size for path in shards) / 1e6
    places = list(range(len(FeatureStore(folder))))
    random.Random(0).shuffle(places)

    def read_plainly() -> None:
        buffer = bytearray(4 << 20)
        for path in shards:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    def read_all() -> None:
        for _ in FeatureStore(folder):
            pass

    def read_at_random() -> None:
        store = FeatureStore(folder)
        for place in places:
            store[place]

    print(f"reading: {len(places)} images, {size:.0f} MB; the store is opened each time")
    for state, prepare in (("from disk", lambda: forget(shards)), ("from memory", lambda: None)):
        for name, read in (
            ("plain files", read_plainly),
            ("store in order", read_all),
            ("store at random", read_at_random),
        ):
            seconds = []
            for _ in range(rounds):
                prepare()
                seconds.append(timed(read))
            print(f"  {state + ', ' + name:30} {size / statistics.median(seconds):8.0f} MB/s")


def forget(paths: list[Path]) -> None:
    """Drop files from the system's cache."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
