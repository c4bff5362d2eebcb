"""Pictures of results: masks, boxes, names, scores, label maps; readable on images of any size.

Everything is drawn on arrays in memory; no window system is needed.
"""

import colorsys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.masks import MaskCrop, crop_mask
from swin_dense.tools.printable import printable

Picture = NDArray[np.uint8]  # (H, W, 3), RGB

_MIN_SIDE = 480  # px; the longer side of a smaller image is enlarged to about this before drawing
MASK_OPACITY = 0.45
LABEL_OPACITY = 0.6
_LEGEND_FONT = 15  # px
_LONGEST_NAME = 24  # characters of a class name in a legend
_GOLDEN_RATIO = 0.618033988749895


@lru_cache(maxsize=1024)
def class_colour(label: int) -> tuple[int, int, int]:
    """Colour of a class, RGB 0..255, in pictures and charts alike.

    Neighbouring labels are far apart in hue; those whose hues come close (5, 8 or 13 labels apart)
    differ in luminance. All can be seen on white, on black and on most images.
    """
    hue = (0.02 + label * _GOLDEN_RATIO) % 1.0
    saturation = (0.9, 0.6)[label // 9 % 2]
    luminance = (0.24, 0.14, 0.38)[label % 3]
    low, high = 0.0, 1.0
    for _ in range(12):
        lightness = (low + high) / 2
        colour = colorsys.hls_to_rgb(hue, lightness, saturation)
        low, high = (low, lightness) if _luminance(colour) > luminance else (lightness, high)
    red, green, blue = colour
    return round(red * 255), round(green * 255), round(blue * 255)


def as_hex(colour: Sequence[int]) -> str:
    """RGB 0..255 as `#rrggbb`."""
    red, green, blue = (int(part) for part in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"


def draw_detections(
    image: Tensor, result: Mapping[str, Any], class_names: Sequence[str]
) -> Picture:
    """Draw detections, or ground truth, over an image.

    Args:
        image: `(3, H, W)` uint8 RGB.
        result: `boxes` `(N, 4)` xyxy px, `labels` `(N,)`, and if known `scores` `(N,)` and `masks`
            `(N, H, W)` or a list of `N` compressed masks, in the frame of `image`. The largest
            object is drawn first, so that none is hidden.
        class_names: name of each label.

    Returns:
        `(s H, s W, 3)` uint8 RGB: small images are enlarged by a whole number s, others are not.

    Raises:
        ValueError: the image, or a mask's size, is not as above.
    """
    picture, scale = _canvas(image)
    boxes = result["boxes"].detach().float().cpu().numpy() * scale
    labels = result["labels"].cpu().tolist()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-areas, kind="stable").tolist()
    stroke = max(1, round(max(picture.shape) / 450))

    masks = result.get("masks")
    if masks is not None:
        _check_mask_sizes(masks, (image.shape[1], image.shape[2]))
        for index in order:
            _blend_mask(picture, _crop(masks[index]), scale, class_colour(labels[index]), stroke)

    for index in order:
        left, top, right, bottom = (round(float(edge)) for edge in boxes[index])
        cv2.rectangle(
            picture, (left, top), (right - 1, bottom - 1), class_colour(labels[index]), stroke
        )
    captions = [_caption(class_names, label) for label in labels]
    if "scores" in result:
        scores = result["scores"].detach().float().cpu().tolist()
        captions = [f"{name} {score:.2f}" for name, score in zip(captions, scores, strict=True)]
    draw_captions(picture, boxes, captions, [class_colour(i) for i in labels], order)
    return picture


def draw_label_map(
    image: Tensor,
    labels: Tensor,
    colours: NDArray[np.uint8],
    *,
    unpainted: Sequence[int] = (),
    opacity: float = LABEL_OPACITY,
) -> Picture:
    """Tint each pixel of an image in the colour of its class, with dark lines between classes.

    Args:
        image: `(3, H, W)` uint8 RGB.
        labels: `(H, W)` integers in 0..K-1; pixels with 255 (ignored) stay as they are.
        colours: `(K, 3)` RGB.
        unpainted: labels whose pixels stay as they are too: the background.
        opacity: of the colours, 0..1.

    Returns:
        `(s H, s W, 3)` uint8 RGB: small images are enlarged by a whole number s, others are not.

    Raises:
        ValueError: the image, or the label map's size, is not as above.
    """
    picture, scale = _canvas(image)
    if tuple(labels.shape) != tuple(image.shape[1:]):
        raise ValueError(
            f"labels must have the image's size {tuple(image.shape[1:])}, got {tuple(labels.shape)}"
        )
    found = labels.cpu().numpy().astype(np.uint8)
    found = np.repeat(np.repeat(found, scale, axis=0), scale, axis=1)  # (s H, s W)
    found[np.isin(found, unpainted)] = IGNORED_LABEL
    table = np.zeros((256, 3), np.float32)
    table[: len(colours)] = colours
    tinted = picture * (1 - opacity) + table[found] * opacity
    edge = np.zeros(found.shape, bool)
    edge[1:] |= found[1:] != found[:-1]
    edge[:, 1:] |= found[:, 1:] != found[:, :-1]
    tinted[edge] *= 0.6
    return np.where((found == IGNORED_LABEL)[..., None], picture, tinted).astype(np.uint8)


def draw_legend(
    labels: Sequence[int],
    class_names: Sequence[str],
    colours: NDArray[np.uint8],
    *,
    height: int,
    remarks: Sequence[str] = (),
    unpainted: Sequence[int] = (),
) -> Picture:
    """Draw a column of colours and class names, as many as there is room for.

    Args:
        labels: the classes to name, the most important first.
        class_names: name of every label.
        colours: `(K, 3)` RGB.
        height: px of the legend.
        remarks: what stands behind each name, such as its share.
        unpainted: labels that are not tinted in the picture; they are shown without a colour.

    Returns:
        `(height, width, 3)`; the width depends on `class_names` alone, so that all frames of a
        video have one.
    """
    font, row = find_font(_LEGEND_FONT), _LEGEND_FONT + 8
    names = [
        name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        for name in map(printable, class_names)
    ]
    width = round(max(font.getlength(f"{name}  100.0%") for name in names)) + 2 * row
    page = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    room = max(1, height // row)
    shown = labels if len(labels) <= room else labels[: room - 1]
    for place, label in enumerate(shown):
        top = place * row
        swatch = (6, top + 4, row + 2, top + row)
        fill = (255, 255, 255) if label in unpainted else tuple(colours[label].tolist())
        pen.rectangle(swatch, fill=fill, outline=(60, 60, 60))
        text = names[label] if not remarks else f"{names[label]}  {remarks[place]}"
        pen.text((row + 10, top + 3), text, fill=(0, 0, 0), font=font)
    if len(shown) < len(labels):
        rest = f"and {len(labels) - len(shown)} more"
        pen.text((row + 10, len(shown) * row + 3), rest, fill=(90, 90, 90), font=font)
    return np.asarray(page)


def side_by_side(pictures: Sequence[Picture], titles: Sequence[str], *, gap: int = 8) -> Picture:
    """Put pictures of one height in a row, each under its title.

    Args:
        pictures: each `(H, W_i, 3)`; a lower one is padded below.
        titles: one for each picture.
        gap: px of white between two.

    Returns:
        `(H + title, sum of widths and gaps, 3)`.
    """
    font = find_font(18)
    head = 28
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    sheet = np.full((head + height, width, 3), 255, dtype=np.uint8)
    strip = Image.fromarray(sheet[:head])
    pen = ImageDraw.Draw(strip)
    left = 0
    for picture, title in zip(pictures, titles, strict=True):
        sheet[head : head + picture.shape[0], left : left + picture.shape[1]] = picture
        pen.text((left + 2, 3), title, fill=(0, 0, 0), font=font)
        left += picture.shape[1] + gap
    sheet[:head] = np.asarray(strip)
    return sheet


def reduce_picture(picture: Picture, longest_side: int) -> Picture:
    """The picture with its longer side of at most so many px; a smaller one as it is."""
    height, width = picture.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def save_picture(picture: Picture, path: Path) -> None:
    """Write a picture as PNG or JPEG by its suffix, beside its final name, then rename it."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    Image.fromarray(picture).save(partial, quality=92)
    partial.replace(path)


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance of RGB 0..1, 0..1 (WCAG 2.2; the sRGB curve as a power)."""
    red, green, blue = (part**2.2 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _canvas(image: Tensor) -> tuple[Picture, int]:
    """Copy of the image to draw on, and the whole number it was enlarged by."""
    if image.ndim != 3 or image.shape[0] != 3 or str(image.dtype) != "torch.uint8":
        raise ValueError(f"image must be (3, H, W) uint8, got {tuple(image.shape)} {image.dtype}")
    picture = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())  # (H, W, 3)
    scale = max(1, round(_MIN_SIDE / max(picture.shape[:2])))
    if scale > 1:
        size = (picture.shape[1] * scale, picture.shape[0] * scale)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return picture.copy(), scale


def _blend_mask(
    picture: Picture, mask: MaskCrop, scale: int, colour: tuple[int, int, int], stroke: int
) -> None:
    """Tint the mask's pixels and trace its outline, in place."""
    if not mask.bitmap.size:
        return
    bitmap = np.ascontiguousarray(mask.bitmap).view(np.uint8)
    if scale > 1:
        bitmap = np.repeat(np.repeat(bitmap, scale, axis=0), scale, axis=1)
    left, top = mask.left * scale, mask.top * scale
    window = picture[top : top + bitmap.shape[0], left : left + bitmap.shape[1]]
    # A table of the 256 levels: no map of floats, which would be twelve bytes a pixel.
    levels = np.arange(256, dtype=np.uint8)[:, None]
    tint = np.array(colour, dtype=np.float32) * MASK_OPACITY
    table = (levels * (1 - MASK_OPACITY) + tint).astype(np.uint8)  # (256, 3)
    cv2.copyTo(cv2.LUT(window, table[None]), bitmap, window)
    outlines, _ = cv2.findContours(
        bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top)
    )
    cv2.drawContours(picture, outlines, -1, colour, stroke, cv2.LINE_AA)


def _crop(mask: Any) -> MaskCrop:
    """The part of a mask that has all its pixels, of a bitmap or of run lengths."""
    if not isinstance(mask, Tensor):
        return crop_mask(mask)
    bitmap = mask.cpu().numpy().astype(np.uint8)
    left, top, width, height = cv2.boundingRect(bitmap)
    return MaskCrop(left, top, bitmap[top : top + height, left : left + width].astype(bool))


def _check_mask_sizes(masks: Any, size: tuple[int, int]) -> None:
    """Refuse masks that are not of the image's size (ValueError)."""
    found = {masks.shape[1:]} if isinstance(masks, Tensor) else {tuple(m["size"]) for m in masks}
    for other in found - {size}:
        raise ValueError(f"masks must have the image's size {size}, got {tuple(other)}")


def draw_captions(
    picture: Picture,
    boxes: NDArray[np.float32],
    captions: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    order: Sequence[int],
) -> None:
    """Write each caption above its box, or where there is room for it, in place."""
    height, width = picture.shape[:2]
    # Sizes of texts do not depend on what they are written on.
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = find_font(int(np.clip(max(height, width) / 48, 12, 40)))
    taken: list[tuple[float, float, float, float]] = []
    for index in reversed(order):  # the smallest object has the first choice of place
        _, _, text_width, text_height = measure.textbbox((0, 0), captions[index], font=font)
        size = (text_width + 6, text_height + 4)
        place = _find_place(boxes[index].tolist(), size, (width, height), taken)
        taken.append(place)
        # Only the caption's part of the picture becomes a page of PIL's, four bytes a pixel.
        left, top = int(place[0]), int(place[1])
        part = picture[top : int(place[3]) + 2, left : int(place[2]) + 2]
        page = Image.fromarray(part)
        pen = ImageDraw.Draw(page)
        x1, y1, x2, y2 = place
        pen.rectangle((x1 - left, y1 - top, x2 - left, y2 - top), fill=colours[index])
        red, green, blue = colours[index]
        is_bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
        ink = (0, 0, 0) if is_bright else (255, 255, 255)
        pen.text((x1 - left + 3, y1 - top + 1), captions[index], fill=ink, font=font)
        part[:] = np.asarray(page)


def _find_place(
    box: Sequence[float],
    size: tuple[float, float],
    frame: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Rectangle for a caption: above, inside or below the box; the least covered one wins."""
    left, top, right, bottom = box
    candidates = [
        (left, top - size[1]),
        (left, bottom),
        (left, top),
        (right - size[0], top - size[1]),
        (right - size[0], bottom),
        (left, bottom - size[1]),
        (right, top),
        (left - size[0], top),
    ]
    best, least = None, float("inf")
    for x, y in candidates:
        x = min(max(x, 0), max(frame[0] - size[0] - 1, 0))
        y = min(max(y, 0), max(frame[1] - size[1] - 1, 0))
        place = (x, y, x + size[0], y + size[1])
        covered = sum(_overlap(place, other) for other in taken)
        if covered < least:
            best, least = place, covered
        if covered == 0:
            break
    assert best is not None
    return best


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _caption(class_names: Sequence[str], label: int) -> str:
    name = class_names[label] if label < len(class_names) else f"class {label}"
    return printable(name)


@lru_cache(maxsize=8)
def find_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships: it has letters of most scripts."""
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
