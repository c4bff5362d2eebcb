"""Shards made by one process: images read ahead, features computed, members written behind.

What a shard holds depends on its images, the model and the sizes of batches alone. Images are
batched within their shard, in its order, so that neither the number of readers nor where an earlier
run was stopped, nor which process makes the shard, changes a bit of it.
"""

import contextlib
import math
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from swin_dense.datasets.features.inputs import ImageFile
from swin_dense.datasets.features.shards import ShardWriter
from swin_dense.datasets.images import image_size
from swin_dense.tools.features.extractor import Extractor, PendingFeatures
from swin_dense.tools.features.reading import LoadedImage, ReadAhead

_MOST_IN_BATCH = 64
# Pixels computed together where no number of images is given: more make no processor faster.
_BATCH_PIXELS = {"cpu": 1_000_000, "cuda": 16_000_000}
_WAITING = 2  # batches that wait to be written


class ShardTask(NamedTuple):
    """A shard to make: its name, and its images in their order."""

    name: str
    files: tuple[ImageFile, ...]


class Progress(NamedTuple):
    """Work done since the last report: images written, those of them without features, bytes."""

    num_images: int
    num_errors: int
    num_bytes: int


@dataclass(frozen=True)
class _Batch:
    """Images of a shard with their features; `is_last` ends the shard."""

    shard: str
    images: list[LoadedImage]
    features: PendingFeatures | None  # of the images without an error
    is_last: bool


def make_shards(
    tasks: Sequence[ShardTask],
    extractor: Extractor,
    folder: Path,
    *,
    num_workers: int,
    batch_size: int | None = None,
) -> Iterator[Progress]:
    """Make shards one after the other.

    Args:
        tasks: the shards.
        extractor: computes the features.
        folder: of the shards; what is there under their names is replaced.
        num_workers: threads that read images; 0: each is read when it is needed.
        batch_size: images computed together; None: as many as have a fixed number of pixels.

    Yields:
        What has been written, every now and then.

    Raises:
        OSError: the disk is full, or images cannot be read for a reason that will pass.
    """
    files = (file for task in tasks for file in task.files)
    description = extractor.description
    if batch_size is None:
        most, pixels = _MOST_IN_BATCH, float(_BATCH_PIXELS[extractor.device.type])
    else:
        most, pixels = batch_size, math.inf
    with (
        ReadAhead(files, scale=description.scale, num_workers=num_workers) as images,
        _Writer(folder, dtype=description.dtype) as writer,
    ):
        stream = iter(images)
        for task in tasks:
            of_shard = islice(stream, len(task.files))
            for batch, is_last in _batches(of_shard, most=most, pixels=pixels):
                readable = [image.pixels for image in batch if not image.error]
                features = extractor.start(readable) if readable else None
                writer.put(_Batch(task.name, batch, features, is_last))
                yield from writer.reports()
        writer.close()
        yield from writer.reports()


def _batches(
    images: Iterable[LoadedImage], *, most: int, pixels: float
) -> Iterator[tuple[list[LoadedImage], bool]]:
    """Groups of at most so many images, and pixels unless it is one image; tells the last."""
    batch: list[LoadedImage] = []
    held = 0
    for image in images:
        height, width = image_size(image.pixels)
        if batch and (len(batch) == most or held + height * width > pixels):
            yield batch, False
            batch, held = [], 0
        batch.append(image)
        held += height * width
    yield batch, True


class _Writer:
    """A thread that writes batches into shards; a context manager."""

    def __init__(self, folder: Path, *, dtype: str) -> None:
        self._folder, self._dtype = folder, dtype
        self._batches: queue.Queue[_Batch | None] = queue.Queue(_WAITING)
        self._reports: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="writer")

    def __enter__(self) -> "_Writer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self._is_over = True
        with contextlib.suppress(queue.Full):
            self._batches.put_nowait(None)
        self._thread.join()

    def put(self, batch: _Batch | None) -> None:
        """Hand a batch over, once there is room; raises what went wrong with earlier ones."""
        while self._failure is None:
            with contextlib.suppress(queue.Full):
                self._batches.put(batch, timeout=1)
                return
        raise self._failure

    def close(self) -> None:
        """Wait until all is written; raises what went wrong."""
        self.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def reports(self) -> Iterator[Progress]:
        """Progress since the last call."""
        while not self._reports.empty():
            yield self._reports.get()

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                with ShardWriter(self._folder, batch.shard, dtype=self._dtype) as shard:
                    self._add(shard, batch)
                    while not batch.is_last:
                        batch = self._next()
                        if batch is None:
                            return
                        self._add(shard, batch)
                    shard.finish()
        except BaseException as error:
            self._failure = error

    def _next(self) -> _Batch | None:
        batch = self._batches.get()
        return None if self._is_over else batch

    def _add(self, shard: ShardWriter, batch: _Batch) -> None:
        features = iter(batch.features.wait() if batch.features is not None else ())
        num_errors = num_bytes = 0
        for image in batch.images:
            arrays, fault = ({}, "") if image.error else next(features)
            if image.error or fault:
                message = image.error or f"{image.file.id}: {fault}"
                shard.add_error(image.file.id, message)
                num_errors += 1
                continue
            num_bytes += shard.add(
                image.file.id,
                arrays,
                size=image_size(image.pixels),
                original_size=image.original_size,
            )
        self._reports.put(Progress(len(batch.images), num_errors, num_bytes))
