"""Writes tiny data sets in COCO layout for the tests."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_MOST_PIXELS = 10**6  # of an image that is written; larger ones are there to be refused


def coco_content() -> dict[str, Any]:
    """Two images of 40 x 60 px (height x width); categories 3 and 7; ids have gaps."""
    return {
        "images": [
            {"id": 5, "file_name": "five.png", "height": 40, "width": 60},
            {"id": 9, "file_name": "nine.png", "height": 40, "width": 60},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            annotation(11, image_id=5, category_id=7, box=[10, 5, 20, 15]),
            annotation(12, image_id=9, category_id=3, box=[0, 0, 30, 30]),
            annotation(13, image_id=5, category_id=3, box=[30, 20, 10, 10]),
        ],
    }


def annotation(
    annotation_id: int, *, image_id: int = 5, category_id: int = 7, box: list[float], **other: Any
) -> dict[str, Any]:
    """An annotation whose mask is its box; `other` replaces or adds fields."""
    x, y, width, height = box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    entry = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [corners],
    }
    return {**entry, **other}


def write_coco(root: Path, content: Any, *, split: str = "val2017") -> Path:
    """Write the content as a data root, with an image of noise for each entry that allows it."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / split).mkdir(exist_ok=True)
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    random = np.random.default_rng(0)
    images = content.get("images") if isinstance(content, dict) else None
    for image in images if isinstance(images, list) else []:
        try:
            if image["height"] * image["width"] > _MOST_PIXELS:
                continue
            pixels = random.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            cv2.imwrite(str(root / split / image["file_name"]), pixels)
        except (KeyError, TypeError, ValueError, cv2.error):
            continue
    return path


def without_masks(root: Path, copy: Path, *, every: int) -> Path:
    """A copy of a data root in which every so-manieth object has lost its mask; 1: all have."""
    shutil.copytree(root, copy, dirs_exist_ok=True)
    for path in copy.glob("annotations/instances_*.json"):
        content = json.loads(path.read_text())
        for entry in content["annotations"][::every]:
            del entry["segmentation"]
        path.write_text(json.dumps(content))
    return copy
