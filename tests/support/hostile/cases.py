"""A hostile case; the words and values that cases draw from, and the command lines they use."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CANARY = "executed"  # a file that exists when something in an input was run
ESCAPE = "\x1b[31mred\x1b[0m\x07"
BIDI = "abc\u202egpj.exe\u2066\u200f"
NAMES = (ESCAPE, BIDI, "[bold red]x[/]", "[/nothing]", "a\nb\r\0c", "\ud800", "x" * 100_000, "")
NUMBERS = (
    "0",
    "-1",
    "1",
    "1000000000",
    str(10**12),
    str(2**63),
    str(10**40),
    "nan",
    "inf",
    "1e308",
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1.5,
        10**9,
        10**30,
        1e20,
        1e300,
        float("nan"),
        float("inf"),
        "",
        "7",
        [],
        {},
    ),
    *([[[[]]]], {"a": {"b": []}}, [None] * 50, -(10**40), *NAMES),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line over hostile files.

    Attributes:
        family: of the input.
        words: the command line.
        is_wrong: whether the command must refuse it; else it may also do its work.
        names: text that the error must have, such as the key of a weight.
    """

    family: str
    words: list[str]
    is_wrong: bool = False
    names: str = ""


def read_metadata(material: Path, model: str = "detector") -> dict[str, str]:
    content = (material / f"{model}.safetensors").read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return dict(json.loads(content[8 : 8 + size])["__metadata__"])


def predict_words(folder: Path, weights: Path, source: Path | None = None) -> list[str]:
    if source is None:
        source = folder / "good.png"
        cv2.imwrite(str(source), np.full((40, 60, 3), 99, np.uint8))
    words = ["predict", "--weights", str(weights), str(source), "--out", str(folder / "out")]
    return [*words, "--scale", "64", "64", "--device", "cpu"]


def evaluate_words(material: Path, root: Path) -> list[str]:
    weights = material / "segmentor.safetensors"
    words = ["evaluate", "--weights", str(weights), "--data", str(root), "--workers", "0"]
    return [*words, "--scale", "64", "64", "--device", "cpu"]
