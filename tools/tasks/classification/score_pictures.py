"""Pictures of classifications: the image, and bars of the highest scores beside it."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from swin_dense.tools.printable import printable
from swin_dense.tools.tasks.drawing import Picture, class_colour, find_font

_SIDE = 320  # px of the longer side of the image
_BAR_WIDTH = 230  # px of a score of 1
_ROW = 40  # px
_FONT = 15  # px
_LONGEST_NAME = 30  # characters
_RIGHT, _WRONG, _INK, _MUTED = (26, 127, 55), (190, 40, 40), (30, 30, 30), (110, 110, 110)


def draw_scores(
    image: np.ndarray,
    labels: Sequence[int],
    scores: Sequence[float],
    class_names: Sequence[str],
    *,
    truth: int | None = None,
) -> Picture:
    """Draw an image with its highest scores.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        labels: of the scores, the highest first.
        scores: 0..1.
        class_names: name of each label.
        truth: the image's label; its name stands above, and its bar has a mark.

    Returns:
        `(h, w, 3)` uint8 RGB.
    """
    factor = _SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(image, (width, height), interpolation=kind)
    head = 0 if truth is None else _ROW
    full = max(height, head + _ROW * len(labels))
    sheet = np.full((full, width + _BAR_WIDTH + 90, 3), 255, np.uint8)
    sheet[:height, :width] = shown
    page = Image.fromarray(sheet)
    pen, font = ImageDraw.Draw(page), find_font(_FONT)
    left = width + 16
    if truth is not None:
        colour = _RIGHT if labels[:1] == [truth] else _WRONG
        pen.text((left, 8), f"truth: {_shorten(class_names[truth])}", fill=colour, font=font)
    for place, (label, score) in enumerate(zip(labels, scores, strict=True)):
        top = head + place * _ROW
        ink = _RIGHT if label == truth else _INK
        pen.text((left, top), _shorten(class_names[label]), fill=ink, font=font)
        bar = (left, top + 21, left + max(1, round(_BAR_WIDTH * score)), top + 31)
        pen.rectangle(bar, fill=class_colour(label))
        pen.text((bar[2] + 6, top + 17), f"{100 * score:.1f}%", fill=_MUTED, font=font)
    return np.array(page)


def draw_label(image: np.ndarray, label: int, class_names: Sequence[str]) -> Picture:
    """Draw an image with the name of its class."""
    return draw_scores(image, [], [], class_names, truth=label)


def _shorten(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
