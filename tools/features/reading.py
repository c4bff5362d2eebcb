"""Images read ahead by threads, in order, within a fixed amount of memory.

Decoding and resizing run outside of Python's lock, so threads are enough, and cost no second copy
of anything.
"""

import errno
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np

from swin_dense.datasets.features.inputs import ImageFile
from swin_dense.datasets.images import image_size, init_worker, read_image
from swin_dense.datasets.transforms.resizing import fit_image

_AHEAD = 128  # images that are asked for before they are needed
_HELD = 256 << 20  # bytes of decoded images that wait

# Of a machine or a network in trouble, not of the file: tomorrow it can be read.
_PASSING = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENXIO),
}


class LoadedImage(NamedTuple):
    """An image, resized; or the reason why there is none.

    Attributes:
        file: that it was read from.
        pixels: `(H, W, 3)` uint8 RGB; empty where there is an error.
        original_size: (height, width) in the file, px.
        error: without the file's path; "" for none.
    """

    file: ImageFile
    pixels: np.ndarray
    original_size: tuple[int, int]
    error: str = ""


def load_image(file: ImageFile, *, scale: tuple[int, int] | None) -> LoadedImage:
    """Read and resize one image; what is wrong with its file becomes a message.

    Raises:
        OSError: not the file but the machine is at fault, or the whole input folder is gone.
    """
    try:
        pixels = read_image(file.path, stated_size=file.stated_size)
        return LoadedImage(file, fit_image(pixels, scale), image_size(pixels))
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _PASSING:
            raise
        if isinstance(error, FileNotFoundError) and not Path(file.root).is_dir():
            raise FileNotFoundError(f"the input folder {file.root} is gone") from error
        # The same store comes of the same images in another place.
        message = str(error).replace(file.path, file.id)
        return LoadedImage(file, np.empty((0, 0, 3), np.uint8), (0, 0), message)


class ReadAhead:
    """Reads images by threads while earlier ones are used; a context manager.

    Args:
        files: to read, in order; they may come as they are needed.
        scale: LONG SHORT side of the keep-ratio resize, px; None: none.
        num_workers: threads; 0 reads each image when it is asked for.
    """

    def __init__(
        self, files: Iterable[ImageFile], *, scale: tuple[int, int] | None, num_workers: int
    ) -> None:
        self._files, self._scale = iter(files), scale
        self._executor = ThreadPoolExecutor(num_workers, "reader") if num_workers else None
        self._pending: deque[Future[LoadedImage]] = deque()
        self._num_asked = self._num_used = self._held = 0
        self._is_over = False
        self._changed = threading.Condition()

    def __enter__(self) -> "ReadAhead":
        self._log_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._cv2_threads = cv2.getNumThreads()
        init_worker(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        cv2.setNumThreads(self._cv2_threads)
        cv2.utils.logging.setLogLevel(self._log_level)

    def __iter__(self) -> Iterator[LoadedImage]:
        if self._executor is None:
            for file in self._files:
                yield load_image(file, scale=self._scale)
            return
        self._ask()
        while self._pending:
            image = self._pending.popleft().result()
            with self._changed:
                self._num_used += 1
                self._held -= image.pixels.nbytes
                self._changed.notify_all()
            self._ask()
            yield image

    def _ask(self) -> None:
        assert self._executor is not None
        while len(self._pending) < _AHEAD:
            file = next(self._files, None)
            if file is None:
                return
            self._pending.append(self._executor.submit(self._read, file, self._num_asked))
            self._num_asked += 1

    def _read(self, file: ImageFile, place: int) -> LoadedImage:
        """In a thread: wait until there is room; who is needed next never waits."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._held < _HELD or place <= self._num_used or self._is_over
            )
        image = load_image(file, scale=self._scale)
        with self._changed:
            self._held += image.pixels.nbytes
        return image
