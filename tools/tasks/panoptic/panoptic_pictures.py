"""Pictures of panoptic segmentations: every segment tinted and named, things outlined."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from swin_dense.datasets.categories import ade20k_classes
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.samples import Segment
from swin_dense.tools.tasks.drawing import Picture, class_colour, draw_captions, draw_label_map

_SHADES = (0.0, 0.3, -0.3, 0.5, -0.5)  # of the things of one class, towards white and black
_OUTLINE = (255, 255, 255)
_MOST_NAMED = 40  # of the largest segments


def draw_segments(
    image: Tensor,
    ids: np.ndarray,
    segments: Sequence[Segment],
    *,
    class_names: Sequence[str],
    is_thing: Sequence[bool],
    colours: np.ndarray,
    scores: Sequence[float] | None = None,
) -> Picture:
    """Tint every segment, name it where it is, and outline the things; void stays as it is.

    Args:
        image: `(3, H, W)` uint8 RGB.
        ids: `(H, W)` integers, 0 is void.
        segments: of the ids.
        class_names: name of every label.
        is_thing: of every label.
        colours: `(K, 3)` uint8 RGB.
        scores: of each segment, to stand behind its name.

    Raises:
        ValueError: the image, or the map's size, is not as above.
    """
    places = np.full(ids.shape, IGNORED_LABEL, np.uint8)
    shades = np.zeros((IGNORED_LABEL, 3), np.uint8)
    seen: dict[int, int] = {}
    for number, segment in enumerate(segments):
        turn = seen.setdefault(segment.label, 0)
        seen[segment.label] += 1
        place = number % IGNORED_LABEL
        places[ids == segment.id] = place
        colour = colours[segment.label].astype(np.float32)
        shade = _SHADES[turn % len(_SHADES)] if is_thing[segment.label] else 0.0
        shades[place] = colour + (255 * (shade > 0) - colour) * abs(shade)
    picture = draw_label_map(image, torch.from_numpy(places), shades)
    scale = picture.shape[0] // ids.shape[0]
    stroke = max(1, round(max(picture.shape) / 450))
    boxes, captions, tints = [], [], []
    for number, segment in enumerate(segments):
        bitmap = np.repeat(np.repeat(ids == segment.id, scale, axis=0), scale, axis=1)
        outlines, _ = cv2.findContours(
            bitmap.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        if not outlines:
            continue
        if is_thing[segment.label]:
            cv2.drawContours(picture, outlines, -1, _OUTLINE, stroke, cv2.LINE_AA)
        left, top, width, height = cv2.boundingRect(max(outlines, key=len))
        boxes.append((left, top, left + width, top + height))
        score = "" if scores is None else f" {scores[number]:.2f}"
        crowd = " (crowd)" if segment.is_crowd else ""
        captions.append(f"{class_names[segment.label]}{crowd}{score}")
        red, green, blue = shades[number % IGNORED_LABEL].tolist()
        tints.append((red, green, blue))
    frames = np.array(boxes, np.float32).reshape(-1, 4)
    areas = (frames[:, 2] - frames[:, 0]) * (frames[:, 3] - frames[:, 1])
    order = np.argsort(-areas, kind="stable")[:_MOST_NAMED].tolist()
    draw_captions(picture, frames, captions, tints, order)
    return picture


def segment_colours(num_classes: int, given: np.ndarray | None = None) -> np.ndarray:
    """`(K, 3)` uint8: those given with the data, else ADE20K's for its 150, else made."""
    if given is not None and len(given) == num_classes:
        return given
    ade20k = ade20k_classes()
    if ade20k.colours is not None and num_classes == len(ade20k.names):
        return ade20k.colours
    return np.array([class_colour(label) for label in range(num_classes)], np.uint8)
