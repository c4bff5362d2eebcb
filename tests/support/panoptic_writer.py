"""Writes a tiny data set in COCO's panoptic layout for the tests."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.datasets.formats.panoptic.segment_pngs import encode_segment_ids

HEIGHT, WIDTH = 20, 30
# Person above, a crowd of them at the left below, sky at the right; void in a corner.
CROWD, PERSON, SKY = 70_000, 300, 9


def panoptic_ids() -> np.ndarray:
    """The map of both images, `(20, 30)`."""
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[:10] = PERSON
    ids[10:, :12] = CROWD
    ids[10:, 12:] = SKY
    ids[15:, 25:] = 0
    return ids


def panoptic_content() -> dict[str, Any]:
    """Two images of one map; categories 3 (sky, stuff) and 7 (person, thing)."""
    segments = [
        {"id": PERSON, "category_id": 7, "area": 300, "bbox": [0, 0, 30, 10], "iscrowd": 0},
        {"id": CROWD, "category_id": 7, "area": 120, "bbox": [0, 10, 12, 10], "iscrowd": 1},
        {"id": SKY, "category_id": 3, "area": 155, "bbox": [12, 10, 18, 10], "iscrowd": 0},
    ]
    return {
        "images": [
            {"id": image_id, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH}
            for image_id, name in ((5, "five"), (9, "nine"))
        ],
        "annotations": [
            {"image_id": image_id, "file_name": f"{name}.png", "segments_info": list(segments)}
            for image_id, name in ((9, "nine"), (5, "five"))
        ],
        "categories": [
            {"id": 7, "name": "person", "isthing": 1, "color": [220, 20, 60]},
            {"id": 3, "name": "sky", "isthing": 0, "color": [70, 130, 180]},
        ],
    }


def write_panoptic(root: Path, content: Any, *, split: str = "val2017") -> Path:
    """Write the content as a data root, with images and PNGs for both images."""
    pngs = root / "annotations" / f"panoptic_{split}"
    pngs.mkdir(parents=True, exist_ok=True)
    (root / split).mkdir(exist_ok=True)
    path = pngs.with_suffix(".json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    random = np.random.default_rng(0)
    for name in ("five", "nine"):
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(root / split / f"{name}.jpg"), pixels)
        (pngs / f"{name}.png").write_bytes(encode_segment_ids(panoptic_ids()))
    return path
