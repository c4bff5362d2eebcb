"""Decoding of images for classification: by Pillow, as the published scores were measured.

OpenCV, by which the other data sets are read, gives the same pixels of an ordinary JPEG; of one in
CMYK, of which ImageNet has some, it does not.
"""

from pathlib import Path

from PIL import Image, ImageOps

from swin_dense.datasets.files import check_file
from swin_dense.datasets.images import UNREADABLE, check_pixels, open_image, read_image

_DEEP = ("I", "F")  # beginnings of the modes with more than 8 bits, which Pillow cuts off


def read_rgb(path: str | Path, *, upright: bool = True) -> Image.Image:
    """Read an image file of any kind as RGB.

    Grey, palette and CMYK images are converted, transparency is dropped, 16 bits are scaled to 8.

    Args:
        path: the file.
        upright: turn the image as its camera says (EXIF); the published scores were measured
            without.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a complete image, or states more pixels than are read.
    """
    path = check_file(path, "image file")
    with path.open("rb") as stream:
        try:
            image = open_image(stream)
        except UNREADABLE as error:
            raise _damaged(path) from error
        check_pixels((image.height, image.width), path)
        if image.mode.startswith(_DEEP):
            return Image.fromarray(read_image(path))
        try:
            return (ImageOps.exif_transpose(image) if upright else image).convert("RGB")
        except UNREADABLE as error:
            raise _damaged(path) from error


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} cannot be read as an image: it is cut off, damaged or no image")
