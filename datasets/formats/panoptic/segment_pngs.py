"""PNGs of segments: the colour of a pixel is the id of its segment, R + 256 G + 65536 B."""

import struct
from pathlib import Path

import cv2
import numpy as np

from swin_dense.datasets.files import check_file
from swin_dense.datasets.label_maps import load_label_map
from swin_dense.datasets.samples import Size

MAX_SEGMENT_ID = 2**24 - 1
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_segment_ids(path: str | Path) -> np.ndarray:
    """Ids of segments as stored: `(H, W)` int32, 0 is void.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, or has no three channels of 8 bits.
    """
    image = load_label_map(path, colours=True)
    if image.mode not in ("RGB", "RGBA"):
        raise ValueError(
            f"a PNG of segments must have red, green and blue of 8 bits, got an {image.mode} image "
            f"in {path}"
        )
    return _ids_of(np.asarray(image))


def read_png_size(path: str | Path) -> Size:
    """Size that a PNG's header states; raises as `read_segment_ids` where it is none."""
    with check_file(path, "PNG of segments").open("rb") as stream:
        start = stream.read(24)
    if len(start) < 24 or not start.startswith(_SIGNATURE):
        raise ValueError(f"{path} must be a PNG, got another kind of file or a part of one")
    width, height = struct.unpack(">II", start[16:24])
    return Size(height, width)


def decode_segment_ids(png: bytes) -> np.ndarray:
    """Undo `encode_segment_ids`: `(H, W)` int32."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return _ids_of(decoded[..., ::-1])


def encode_segment_ids(ids: np.ndarray) -> bytes:
    """The PNG of a map `(H, W)` of ids.

    Raises:
        ValueError: an id is not in 0..2^24 - 1.
    """
    low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    if low < 0 or high > MAX_SEGMENT_ID:
        raise ValueError(f"ids of segments must be in 0..{MAX_SEGMENT_ID}, got {low}..{high}")
    channels = [(ids >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]  # as OpenCV: BGR
    return cv2.imencode(".png", np.stack(channels, axis=-1))[1].tobytes()


def _ids_of(colours: np.ndarray) -> np.ndarray:
    """Ids `(H, W)` int32 of colours `(H, W, 3 or more)` uint8 RGB."""
    parts = colours.astype(np.int32)
    return parts[..., 0] + (parts[..., 1] << 8) + (parts[..., 2] << 16)
