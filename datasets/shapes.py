"""A drawn data set: overlapping coloured shapes on textured ground, as COCO (objects and panoptic)
and as ADE20K.

Something to learn on without a download. Shapes differ in outline and, as things do, tend to differ
in colour and texture; about one in ten draws those of any class.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from swin_dense.datasets.formats.panoptic.segment_pngs import encode_segment_ids
from swin_dense.datasets.masks import compress_bitmaps, decompress_counts

SHAPE_NAMES = ("circle", "square", "triangle", "star", "ring", "cross")
GROUND_NAME = "ground"

# Split names of the two layouts, and the number that keeps their random streams apart.
_SPLITS = (("train2017", "training", 0), ("val2017", "validation", 1))

_OVERSAMPLING = 4  # drawn so many times larger, then averaged
_RADIUS_RANGE = (0.06, 0.28)  # of the image's side
_NUM_OBJECTS = (3, 8)  # both inclusive
_MIN_VISIBLE = 0.4  # of each object's area, whatever is drawn over it
_TYPICAL_LOOK = 0.9  # probability of the class's colour and texture
_GROUND_LABEL = 1  # 0 is "ignored" in ADE20K

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]

# In an object's frame (u, v in -1..1): how far from its first to its second colour, 0..1.
_TEXTURES: tuple[Texture, ...] = (
    lambda u, v: (np.cos(7 * u) * np.cos(7 * v) > 0.25).astype(np.float32),  # dots
    lambda u, v: ((np.floor(2.5 * u) + np.floor(2.5 * v)) % 2).astype(np.float32),  # checks
    lambda u, v: (np.sin(11 * v) > 0).astype(np.float32),  # stripes
    lambda u, v: np.clip(0.5 + 0.6 * v, 0, 1),  # gradient
    lambda u, v: (np.sin(8 * np.arctan2(v, u)) > 0).astype(np.float32),  # rays
    lambda u, v: np.maximum(np.cos(12 * u), np.cos(12 * v)).clip(0, 1),  # grid
    # Of the further classes that are drawn for classification.
    lambda u, v: (np.sin(14 * np.hypot(u, v)) > 0).astype(np.float32),  # rings
    lambda u, v: np.clip(0.5 - 0.6 * u, 0, 1),  # gradient, crosswise
    lambda u, v: (np.sin(9 * (u + v)) > 0).astype(np.float32),  # slanting stripes
    lambda u, v: np.full_like(u, 0.2),  # plain
)
# Of OpenCV's 0..179: red, blue, green, yellow, violet, cyan; and pink, spring green, azure, indigo.
_HUES = (4, 104, 50, 25, 145, 80, 165, 65, 92, 125)


@dataclass(frozen=True)
class DrawnImage:
    """One drawn image: `pixels` `(S, S, 3)` uint8 RGB, and for each object its class and mask.

    `object_map` `(S, S)` int64 is 0 on the ground and `i + 1` where object `i` is visible.
    `fine_map` is the same before averaging, `_OVERSAMPLING` times as large.
    """

    pixels: np.ndarray
    labels: list[int]
    object_map: np.ndarray
    fine_map: np.ndarray


def write_shapes(
    root: str | Path, *, num_train: int, num_val: int, size: int = 128, seed: int = 0
) -> Path:
    """Draw the data set and write it in COCO, COCO panoptic and ADE20K layout under one root.

    COCO: `annotations/instances_{train2017,val2017}.json`, `{train2017,val2017}/*.jpg`; masks are
    the visible part of each shape, as polygons, or as run lengths where they have holes. Panoptic:
    `annotations/panoptic_{split}.json` and a folder of that name; the shapes are things, the ground
    is stuff. ADE20K:
    `images/{training,validation}/*.jpg`, `annotations/{training,validation}/*.png`, `classes.txt`;
    label 1 is the ground, 2 to 7 are the shapes, 0 (ignored) is not used. Validation images come
    from a separate random stream. The same arguments give the same files.

    Args:
        root: a new or empty folder.
        num_train: images to train on.
        num_val: images to evaluate on.
        size: side of the square images, px.
        seed: of everything drawn, from 0 up.

    Returns:
        `root` as a path.

    Raises:
        ValueError: a number is out of range, or `root` is not empty.
    """
    root = Path(root)
    if min(num_train, num_val) < 1 or size < 32 or seed < 0:
        raise ValueError(
            "the drawn data set must have at least 1 image in each split, 32 px and a seed from 0"
            f" up, got {num_train} and {num_val} images of {size} px and seed {seed}"
        )
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(f"the drawn data set needs a new or empty folder, got {root}")
    for (coco_split, ade_split, stream), count in zip(_SPLITS, (num_train, num_val), strict=True):
        panoptic = f"annotations/panoptic_{coco_split}"
        for folder in (coco_split, f"images/{ade_split}", f"annotations/{ade_split}", panoptic):
            (root / folder).mkdir(parents=True)
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        segments: list[dict[str, object]] = []
        for index in range(count):
            drawn = draw_shapes(np.random.default_rng((seed, stream, index)), size=size)
            name = f"{index:06d}"
            jpeg = encode_jpeg(drawn.pixels)
            (root / coco_split / f"{name}.jpg").write_bytes(jpeg)
            (root / "images" / ade_split / f"{name}.jpg").write_bytes(jpeg)
            label_map = np.array([_GROUND_LABEL, *(2 + label for label in drawn.labels)], np.uint8)
            encoded = cv2.imencode(".png", label_map[drawn.object_map])[1]
            (root / "annotations" / ade_split / f"{name}.png").write_bytes(encoded.tobytes())
            images.append(
                {"id": index + 1, "file_name": f"{name}.jpg", "height": size, "width": size}
            )
            for annotation in _annotate(drawn):
                annotation_id = len(annotations) + 1
                annotations.append({"id": annotation_id, "image_id": index + 1, **annotation})
            ids, segments_info = _list_segments(drawn)
            (root / panoptic / f"{name}.png").write_bytes(encode_segment_ids(ids))
            segments.append(
                {
                    "image_id": index + 1,
                    "file_name": f"{name}.png",
                    "segments_info": segments_info,
                }
            )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [
                {"id": label + 1, "name": name} for label, name in enumerate(SHAPE_NAMES)
            ],
        }
        (root / "annotations" / f"instances_{coco_split}.json").write_text(json.dumps(content))
        names = (*SHAPE_NAMES, GROUND_NAME)
        categories = [
            {"id": label + 1, "name": name, "isthing": int(name != GROUND_NAME)}
            for label, name in enumerate(names)
        ]
        content = {"images": images, "annotations": segments, "categories": categories}
        (root / f"{panoptic}.json").write_text(json.dumps(content))
    (root / "classes.txt").write_text("\n".join((GROUND_NAME, *SHAPE_NAMES)) + "\n")
    return root


def draw_shapes(random: np.random.Generator, *, size: int) -> DrawnImage:
    """Draw one image of `size` x `size` px with 3 to 8 shapes, later ones over earlier ones."""
    side = size * _OVERSAMPLING
    ground = draw_ground(random, size)
    canvas = cv2.resize(ground, (side, side), interpolation=cv2.INTER_LINEAR)
    fine_map = np.zeros((side, side), np.uint8)
    labels: list[int] = []
    full_areas: list[int] = []
    wanted = int(random.integers(_NUM_OBJECTS[0], _NUM_OBJECTS[1] + 1))
    for _ in range(10 * wanted):
        if len(labels) == wanted:
            break
        label = int(random.integers(len(SHAPE_NAMES)))
        radius = side * float(np.exp(random.uniform(*np.log(_RADIUS_RANGE))))
        centre = random.uniform(0.5 * radius, side - 0.5 * radius, 2)
        angle = random.uniform(0, 2 * np.pi)
        mask = draw_outline(shape_outline(SHAPE_NAMES[label]), centre, radius, angle, side)
        if SHAPE_NAMES[label] == "ring":
            mask &= ~draw_outline(shape_outline("ring"), centre, 0.5 * radius, angle, side)
        new_map = np.where(mask, len(labels) + 1, fine_map).astype(np.uint8)
        areas = np.bincount(new_map.ravel(), minlength=len(labels) + 2)[1:]
        new_full_areas = [*full_areas, int(mask.sum())]
        if (areas < _MIN_VISIBLE * np.array(new_full_areas)).any():
            continue
        look = label if random.random() < _TYPICAL_LOOK else int(random.integers(len(SHAPE_NAMES)))
        paint_shape(canvas, mask, look, centre, radius, angle, random)
        fine_map = new_map
        labels.append(label)
        full_areas = new_full_areas
    canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    canvas = canvas + random.normal(0, 0.015, canvas.shape)  # the camera's noise
    coverage = [
        cv2.resize(
            (fine_map == index).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA
        )
        for index in range(len(labels) + 1)
    ]
    return DrawnImage(
        pixels=(255 * canvas.clip(0, 1) + 0.5).astype(np.uint8),
        labels=labels,
        object_map=np.argmax(coverage, axis=0),
        fine_map=fine_map,
    )


def shape_outline(name: str) -> np.ndarray:
    """A shape's outline `(P, 2)` within the unit circle; a ring's is its outer circle."""
    if name == "star":
        angles = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2, 0.42, 1.0)
    elif name == "cross":
        arm = 0.32
        corners = np.array([[arm, -0.95], [arm, -arm], [0.95, -arm]])
        turns = [np.array([[c, -s], [s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        return np.concatenate([corners @ turn.T for turn in turns])
    else:
        num_corners = {"triangle": 3, "square": 4}.get(name, 64)
        angles, radii = np.arange(num_corners) * 2 * np.pi / num_corners, np.ones(num_corners)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def draw_outline(
    outline: np.ndarray, centre: np.ndarray, radius: float, angle: float, side: int
) -> np.ndarray:
    """An outline `(P, 2)` in the unit circle, turned and filled, as a `(side, side)` bool mask."""
    cos, sin = np.cos(angle), np.sin(angle)
    rotated = outline @ np.array([[cos, sin], [-sin, cos]])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(centre + radius * rotated).astype(np.int32)], 1)
    return mask.astype(bool)


def paint_shape(
    canvas: np.ndarray,
    mask: np.ndarray,
    look: int,
    centre: np.ndarray,
    radius: float,
    angle: float,
    random: np.random.Generator,
) -> None:
    """Paint a shape onto the canvas: a soft shadow, two colours by its texture, a dark edge."""
    reach = 1.2 * radius  # shape and shadow lie within it around the centre
    left, top = np.maximum(centre - reach, 0).astype(int)
    right, bottom = np.ceil(centre + reach).astype(int)
    canvas, mask = canvas[top:bottom, left:right], mask[top:bottom, left:right]  # views

    blur, offset = max(3, int(0.12 * radius)) | 1, max(1, int(0.06 * radius))
    shift = np.array([[1, 0, offset], [0, 1, offset]], np.float32)
    shadow = cv2.warpAffine(mask.astype(np.float32), shift, mask.shape[::-1])
    canvas *= 1 - 0.45 * cv2.GaussianBlur(shadow, (blur, blur), 0)[..., None]

    y, x = np.mgrid[top : top + len(mask), left : left + mask.shape[1]].astype(np.float32)
    x, y = (x - float(centre[0])) / radius, (y - float(centre[1])) / radius
    cos, sin = math.cos(angle), math.sin(angle)
    blend = _TEXTURES[look](cos * x + sin * y, cos * y - sin * x)[..., None]
    hue = (_HUES[look] + random.normal(0, 4)) % 180
    first = _colour(hue, random.uniform(0.75, 1.0), random.uniform(0.8, 1.0))
    second = _colour(hue + random.normal(0, 4), random.uniform(0.35, 0.6), random.uniform(0.4, 0.6))
    light = (1.05 - 0.18 * (x + y))[..., None]  # from the upper left
    painted = ((1 - blend) * first + blend * second) * light
    edge_width = max(3, int(0.07 * radius)) | 1
    inner = cv2.erode(mask.astype(np.uint8), np.ones((edge_width, edge_width), np.uint8))
    painted[mask & (inner == 0)] *= 0.55
    canvas[mask] = painted[mask]


def draw_ground(random: np.random.Generator, side: int) -> np.ndarray:
    """Muted ground `(side, side, 3)` float32 in 0..1: clouds, planks, tiles or gravel."""
    coarse = random.random((6, 6)).astype(np.float32)
    clouds = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle, period = random.uniform(0, np.pi), random.uniform(0.06, 0.16)
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    kind = random.integers(4)
    if kind == 0:
        pattern = cv2.resize(coarse.T.copy(), (side, side), interpolation=cv2.INTER_LINEAR)
    elif kind == 1:
        pattern = np.abs(u / period % 1 - 0.5) * 2
    elif kind == 2:
        joints = [1 - np.abs(axis / period % 1 - 0.5) / 0.08 for axis in (u, v)]
        pattern = np.maximum(*joints).clip(0, 1)
    else:
        grains = random.random((side // 2, side // 2)).astype(np.float32)
        pattern = cv2.resize(grains, (side, side), interpolation=cv2.INTER_CUBIC)
    hue, saturation = random.uniform(0, 180), random.uniform(0.05, 0.3)
    dark = _colour(hue, saturation, random.uniform(0.3, 0.5))
    bright = _colour(hue + random.normal(0, 10), saturation, random.uniform(0.6, 0.8))
    blend = (0.6 * clouds + 0.4 * pattern).clip(0, 1)[..., None]
    return ((1 - blend) * dark + blend * bright).astype(np.float32)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB in 0..1 of a hue in 0..180 (taken around), saturation and value in 0..1."""
    hsv = np.array([[[2 * (hue % 180), saturation, value]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """JPEG file of `(H, W, 3)` uint8 RGB, quality 95, colours at full resolution."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()


def _annotate(drawn: DrawnImage) -> list[dict[str, object]]:
    """COCO annotations of the visible objects, without their ids."""
    annotations = []
    for index, label in enumerate(drawn.labels):
        bitmap = drawn.object_map == index + 1
        if not bitmap.any():
            continue
        mask = compress_bitmaps(bitmap[None])[0]
        polygons = _trace(drawn.fine_map == index + 1)
        segmentation: object = polygons
        if polygons is None:
            counts = decompress_counts(mask["counts"]).tolist()
            segmentation = {"size": list(bitmap.shape), "counts": counts}
        annotations.append(
            {
                "category_id": label + 1,
                "bbox": coco_mask.toBbox(mask).tolist(),
                "area": int(bitmap.sum()),
                "iscrowd": 0,
                "segmentation": segmentation,
            }
        )
    return annotations


def _list_segments(drawn: DrawnImage) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Ids `(S, S)` of the visible segments, the ground last, and their entries."""
    ground = len(drawn.labels) + 1
    ids = np.where(drawn.object_map == 0, ground, drawn.object_map)
    entries: list[dict[str, object]] = []
    for segment_id, label in enumerate([*drawn.labels, len(SHAPE_NAMES)], start=1):
        bitmap = (ids == segment_id).astype(np.uint8)
        if bitmap.any():
            entries.append(
                {
                    "id": segment_id,
                    "category_id": label + 1,
                    "area": int(bitmap.sum()),
                    "bbox": list(cv2.boundingRect(bitmap)),
                    "iscrowd": 0,
                }
            )
    return ids, entries


def _trace(fine_mask: np.ndarray) -> list[list[float]] | None:
    """Polygons of a mask in px of the small image; None if the mask has a hole."""
    contours, hierarchy = cv2.findContours(
        fine_mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    smallest = 2 * _OVERSAMPLING**2
    polygons = []
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if cv2.contourArea(contour) < smallest:
            continue
        if parent >= 0:
            return None
        # A contour runs through the centres of the outermost pixels.
        points = (cv2.approxPolyDP(contour, 1.0, True)[:, 0] + 0.5) / _OVERSAMPLING
        polygons.append(points.round(2).ravel().tolist())
    return polygons or None
