"""Label maps on disk: reading them, and the step from stored class numbers to labels.

ADE20K's scene parsing files store 0 for "no class" and 1..K for the classes, which
`reduce_zero_label` (mmsegmentation's name) reduces by 1; other sets store the labels 0..K-1
themselves. In memory a label map holds 0..K-1, and 255 where it is ignored.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import cv2
import numpy as np
from PIL import Image

from swin_dense.datasets.files import check_file
from swin_dense.datasets.images import UNREADABLE, check_pixels, open_image
from swin_dense.datasets.samples import Size

IGNORED_LABEL = 255
_ORIENTATION = 0x0112  # EXIF tag
_ON_ITS_SIDE = range(5, 9)  # its values for images whose rows are the scene's columns
T = TypeVar("T")

# Kinds of one-channel images in Pillow's terms: 1, 8, 16 and 32 bits, and palette indices.
_CLASS_NUMBER_MODES = ("1", "L", "P", "I;16", "I;16B", "I")


def read_class_numbers(path: str | Path) -> np.ndarray:
    """Read the numbers that a label map file stores; a palette image gives its indices.

    Returns:
        `(H, W)` uint8, or int64 where the file stores other than 8 bits.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, states more pixels than are read (`images.limit_pixels`),
            or has colours instead of class numbers.
    """
    numbers = np.array(load_label_map(path))
    return numbers if numbers.dtype == np.uint8 else numbers.astype(np.int64)


def load_label_map(path: str | Path, *, colours: bool = False) -> Image.Image:
    """Decode a label map file; raises as `read_class_numbers`, with `colours` not for colours."""
    with check_file(path, "label map file").open("rb") as stream:
        image = _open_label_map(path, stream, colours=colours)
        _guarded(path, "a label map", image.load)
        return image


def labels_from_numbers(
    numbers: np.ndarray, *, num_classes: int, reduce_zero_label: bool, where: str | Path
) -> np.ndarray:
    """Turn stored class numbers into labels; 255 stays 255 (ignored) in every case.

    Args:
        numbers: `(H, W)` integers.
        num_classes: classes K.
        reduce_zero_label: 0 becomes 255 (ignored) and k becomes k - 1; otherwise k is the label.
        where: the file, named in errors.

    Returns:
        `(H, W)` uint8 in 0..K-1 or 255.

    Raises:
        ValueError: a number is no class.
    """
    if numbers.dtype == np.uint8:
        # Only the numbers that occur are looked at one by one.
        present = np.flatnonzero(cv2.calcHist([numbers], [0], None, [256], [0, 256]))
        table = np.zeros(256, np.uint8)
        table[present] = labels_from_numbers(
            present, num_classes=num_classes, reduce_zero_label=reduce_zero_label, where=where
        )
        return cv2.LUT(numbers, table)
    ignored = numbers == IGNORED_LABEL
    labels = numbers
    if reduce_zero_label:
        ignored = ignored | (numbers == 0)
        labels = numbers - 1
    wrong = ~ignored & ((labels < 0) | (labels >= num_classes))
    if wrong.any():
        first = int(reduce_zero_label)
        values = np.unique(numbers[wrong]).tolist()
        rule = "0 (ignored), " if reduce_zero_label else ""
        raise ValueError(
            f"class numbers must be {rule}{first}..{num_classes - 1 + first} or 255 (ignored), "
            f"got {values[:8]}{' and more' if len(values) > 8 else ''} in {where}"
        )
    return np.where(ignored, IGNORED_LABEL, labels).astype(np.uint8)


def read_label_map_header(path: str | Path, *, colours: bool = False) -> Size:
    """Size of a label map, from the header of its file; raises as `read_class_numbers`.

    The rest is read for its check sums, which is much faster than decoding it. With `colours` the
    file may have colours in place of class numbers.
    """
    with check_file(path, "label map file").open("rb") as stream:
        image = _open_label_map(path, stream, colours=colours)
        size = Size(image.height, image.width)
        _guarded(path, "a label map", image.verify)
        return size


def read_image_header(path: str | Path) -> Size:
    """Size of an image as stored, from the header of its file; raises as `read_image`."""
    with check_file(path, "image file").open("rb") as stream:
        image = _guarded(path, "an image", lambda: open_image(stream))
        return check_pixels((image.height, image.width), path)


def read_upright_size(path: str | Path) -> Size:
    """Size of an image as its orientation tag shows it, from its header; raises as `read_image`."""
    with check_file(path, "image file").open("rb") as stream:
        image = _guarded(path, "an image", lambda: open_image(stream))
        turn = _guarded(path, "an image", lambda: image.getexif().get(_ORIENTATION, 1))
        size = (image.width, image.height) if turn in _ON_ITS_SIDE else (image.height, image.width)
        return check_pixels(size, path)


def _open_label_map(path: str | Path, stream: BinaryIO, *, colours: bool = False) -> Image.Image:
    """Its header alone, checked."""
    image = _guarded(path, "a label map", lambda: open_image(stream))
    check_pixels((image.height, image.width), path)
    if not colours:
        _check_mode(image, path)
    return image


def _guarded(path: str | Path, kind: str, step: Callable[[], T]) -> T:
    """The answer of a step of Pillow's, whose errors for damaged files become ValueErrors."""
    try:
        return step()
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as {kind}: {error}") from error


def _check_mode(image: Image.Image, path: str | Path) -> None:
    if image.mode not in _CLASS_NUMBER_MODES:
        raise ValueError(
            f"a label map must have one channel of class numbers, got an {image.mode} image in "
            f"{path}; colours must be translated to class numbers first"
        )
