"""Decoding of image files, as the reference frameworks do it: with OpenCV, to eight bits.

A file of some kilobytes can state any size, so the header is read before room is made for pixels:
there is a limit, 200 megapixels (0.6 GB decoded) unless `limit_pixels` sets another.
"""

import io
import struct
import threading
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS, check_file
from swin_dense.datasets.samples import Size

# Raised by Pillow for a damaged file.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

_PNG = b"\x89PNG\r\n\x1a\n"
# Of JPEG: start of a frame, which holds the size; not the tables (C4, CC) and extensions (C8).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length

_max_pixels = int(MAX_MEGAPIXELS * 1e6)
_pillow_lock = threading.Lock()


def limit_pixels(megapixels: float) -> None:
    """Set, for this process and the workers that it starts, how large an image may be.

    Raises:
        ValueError: the limit is below one pixel, or beyond what OpenCV decodes.
    """
    global _max_pixels
    lowest, highest = MEGAPIXELS
    if not lowest <= megapixels <= highest:
        raise ValueError(f"megapixels must be in {lowest:g}..{highest:g}, got {megapixels}")
    _max_pixels = int(megapixels * 1e6)


def max_pixels() -> int:
    """The most pixels that an image may have."""
    return _max_pixels


def check_pixels(size: tuple[int, int], where: str | Path) -> Size:
    """The size, once it is known to be within the limit.

    Args:
        size: `(height, width)` that a header states, px.
        where: the file, for the message.

    Raises:
        ValueError: it has more pixels than are read.
    """
    if size[0] * size[1] > _max_pixels:
        raise ValueError(
            f"{where} states {size[1]} x {size[0]} px (width x height), more than the "
            f"{_max_pixels / 1e6:g} megapixels that are read; --max-megapixels raises the limit"
        )
    return Size(*size)


def open_image(stream: BinaryIO) -> Image.Image:
    """Pillow's image of an open file, its header read and nothing decoded.

    Pillow's own limit, which cannot be set for one image alone, is out of force meanwhile:
    `check_pixels` takes its place. Raises `UNREADABLE`.
    """
    stream.read(1 << 16)  # into the buffer, so that nobody waits for a disk within the lock
    stream.seek(0)
    with _pillow_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(stream)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def read_image(path: str | Path, *, stated_size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image file of any kind as RGB.

    Grey and palette images become RGB, transparency is dropped, CMYK is converted, 16 bits are
    scaled to 8. A camera's orientation tag (EXIF) is applied, unless only the image as stored has
    the size stated by the annotations.

    Args:
        path: the file.
        stated_size: `(height, width)` in px that the annotations were drawn on, if known.

    Returns:
        `(H, W, 3)` uint8.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a complete image that OpenCV can read, states more pixels than
            are read, or has another size than `stated_size`.
    """
    path = check_file(path, "image file")
    encoded = np.fromfile(path, dtype=np.uint8)
    size = _size_in_header(encoded)
    if size is not None:
        check_pixels(size, path)
    image = _decode(encoded, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} cannot be read as an image: it is cut off, damaged or no image")
    if stated_size is None or image.shape[:2] == tuple(stated_size):
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    stored = _decode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None or stored.shape[:2] != tuple(stated_size):
        raise ValueError(
            f"{path} must have the size its annotations state, {stated_size[1]} x {stated_size[0]}"
            f" (width x height), got {image.shape[1]} x {image.shape[0]}"
        )
    return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def read_stated_size(path: str | Path) -> Size | None:
    """Height and width that a file's header states, px; nothing is decoded.

    A camera's orientation is not applied. None where there is no image file of a known kind.
    """
    try:
        with check_file(path, "image file").open("rb") as stream, open_image(stream) as image:
            return Size(image.height, image.width)
    except UNREADABLE:
        return None


def image_size(image: np.ndarray) -> Size:
    """Height and width of an `(H, W, ...)` array."""
    return Size(*image.shape[:2])


def init_worker(worker_id: int) -> None:
    """Keep OpenCV to one thread in a loader's worker (`worker_init_fn` of a `DataLoader`).

    Workers already use every core; OpenCV's threads on top of that slow all of them down.
    """
    del worker_id
    cv2.setNumThreads(0)


def _size_in_header(encoded: np.ndarray) -> tuple[int, int] | None:
    """Height and width that an encoded image states, px; None where it is of no known kind."""
    start = encoded[:32].tobytes()
    if start.startswith(_PNG) and len(start) >= 24:
        width, height = struct.unpack(">II", start[16:24])
        return height, width
    if start.startswith(b"\xff\xd8"):
        return _jpeg_size(encoded)
    try:
        with open_image(io.BytesIO(encoded.tobytes())) as image:
            return image.height, image.width
    except UNREADABLE:
        return None


def _jpeg_size(encoded: np.ndarray) -> tuple[int, int] | None:
    """Height and width in the first frame header of a JPEG."""
    place = 2
    while place + 9 <= len(encoded):
        if encoded[place] != 0xFF or encoded[place + 1] in (0x00, 0xFF):
            place += 1  # fill bytes, and what decoders skip
            continue
        marker = int(encoded[place + 1])
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", encoded[place + 5 : place + 9].tobytes())
            return height, width
        length = 0 if marker in _LONE else 256 * int(encoded[place + 2]) + int(encoded[place + 3])
        place += 2 + length
    return None


def _decode(encoded: np.ndarray, flags: int) -> np.ndarray | None:
    """Decode to `(H, W, 3)` uint8 BGR; None if that fails."""
    if not len(encoded):
        return None
    # OpenCV also writes its errors to stderr, without a file's name.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(encoded, flags)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
