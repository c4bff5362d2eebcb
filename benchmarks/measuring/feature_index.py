"""Time the opening of a feature store of very many images, without their features.

Called by `programs/features.py`. The store has its indexes, and tar files of the right sizes that
take no room on the disk.
"""

import subprocess
import sys
import time
from pathlib import Path

from swin_dense.datasets.features.layout import (
    INDEX,
    SHARDS,
    StoreDescription,
    StoredRuns,
    write_store,
)
from swin_dense.datasets.features.manifest import plan_shards, write_manifest
from swin_dense.datasets.features.parquet_index import write_index
from swin_dense.datasets.features.shards import ShardIndex, index_text, read_whole_shards

_OPEN = """
import re, sys, time
import swin_dense.datasets.features.feature_store as module
if sys.argv[2] == "shards":
    module.read_index = lambda folder, num_shards: None
begin = time.perf_counter()
store = module.FeatureStore(sys.argv[1])
opened = time.perf_counter() - begin
begin = time.perf_counter()
"id-0000000.jpg" in store
found = time.perf_counter() - begin
with open("/proc/self/status") as file:  # not ru_maxrss, which begins with the parent's
    peak = int(re.search("VmHWM: *([0-9]+)", file.read().replace("\\t", " "))[1]) / 1024
print(f"{len(store):,} images opened in {opened:.2f} s, first id found in {found:.2f} s more, "
      f"peak of the process {peak:.0f} MiB")
"""


def time_opening(count: int, folder: Path) -> None:
    """Open a store whose shards have an index and no content."""
    size = (800, 1216)
    description = StoreDescription(
        weights="0" * 64,
        model="swin_t",
        pyramid="backbone",
        levels=(0, 1, 2, 3),
        strides=(4, 8, 16, 32),
        channels=(96, 192, 384, 768),
        dtype="float16",
        pool="none",
        precision="fp32",
        scale=None,
        size_divisor=32,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    member = 21_884_928 + 1024
    (folder / SHARDS).mkdir(parents=True)
    images = [(f"id-{number:07}.jpg", 200_000) for number in range(count)]
    shards = plan_shards(images, images_per_shard=48)
    for shard in shards:
        ids = shard.ids
        index = ShardIndex(
            shard.name,
            len(ids) * member,
            ids,
            tuple(512 + number * member for number in range(len(ids))),
            (21_884_928,) * len(ids),
            (size,) * len(ids),
            (size,) * len(ids),
            {},
        )
        write_empty(folder / SHARDS, index)
    write_manifest(folder, shards)
    write_store(
        folder, StoredRuns(description=description, images_per_shard=48, inputs=(), runs=())
    )
    indexes = read_whole_shards(folder / SHARDS, [shard.name for shard in shards])
    begin = time.perf_counter()
    write_index(folder, description, indexes, num_shards=len(shards))
    print(
        f"index: {count:,} images in {len(shards):,} shards; index.parquet has "
        f"{(folder / INDEX).stat().st_size / 1e6:.0f} MB, written in "
        f"{time.perf_counter() - begin:.0f} s"
    )
    for source in ("parquet", "shards"):
        command = [sys.executable, "-c", _OPEN, str(folder), source]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"  from {source:8} {run.stdout.strip()}")


def write_empty(folder: Path, index: ShardIndex) -> None:
    """A shard's index, and a tar file of its size that takes no room on the disk."""
    (folder / f"{index.name}.json").write_text(index_text(index))
    with (folder / f"{index.name}.tar").open("wb") as file:
        file.truncate(index.tar_bytes)
