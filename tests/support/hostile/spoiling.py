"""Ways to spoil a good file: values replaced, bytes changed, headers that lie, no file at all."""

import os
import random
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def replace_somewhere(content: Any, draw: random.Random, value: Any) -> None:
    """Replace one value, at any depth of lists and tables."""
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = draw.choice(keys)
    if isinstance(content[key], dict | list) and content[key] and draw.random() < 0.8:
        replace_somewhere(content[key], draw, value)
    else:
        content[key] = value


def make_special(path: Path, draw: random.Random) -> None:
    """A pipe, a socket or a link to a device."""
    kind = draw.randrange(3)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket may have some hundred letters at most
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(here)


def change_bytes(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 5, 50])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])


def make_png(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel that is a few kilobytes long."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def make_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame header states another size."""
    encoded = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = encoded.index(b"\xff\xc0")
    encoded[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def make_bmp(width: int, height: int) -> bytes:
    """A BMP whose header states another size."""
    encoded = bytearray(cv2.imencode(".bmp", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    encoded[18:26] = struct.pack("<ii", width, height)
    return bytes(encoded)
