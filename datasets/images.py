"""Decoding of image files, as the reference frameworks do it: with OpenCV, to eight bits."""

from pathlib import Path

import cv2
import numpy as np

from swin_dense.datasets.samples import Size


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
        ValueError: the file is not a complete image that OpenCV can read, or has another size than
            stated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image file {path}")
    encoded = np.fromfile(path, dtype=np.uint8)
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


def image_size(image: np.ndarray) -> Size:
    """Height and width of an `(H, W, ...)` array."""
    return Size(*image.shape[:2])


def init_worker(worker_id: int) -> None:
    """Keep OpenCV to one thread in a loader's worker (`worker_init_fn` of a `DataLoader`).

    Workers already use every core; OpenCV's threads on top of that slow all of them down.
    """
    del worker_id
    cv2.setNumThreads(0)


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
