"""Writing panoptic data as COCO is published."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.datasets.formats.coco_writer import list_images
from swin_dense.datasets.formats.folders import copy_image, whole_folder
from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic


def write_coco_panoptic(out: Path, splits: Mapping[str, CocoPanoptic]) -> None:
    """Write annotations and copies of images and PNGs; the folder is whole or not there.

    `annotations/panoptic_{split}.json`, PNGs in the folder of that name beside it, `{split}/`.

    Args:
        out: a new or empty folder.
        splits: by the name to write each under.

    Raises:
        ValueError: the folder is not empty, or a file's name leads out of its folder.
        OSError: a file cannot be read or written.
    """
    with whole_folder(out) as partial:
        for split, dataset in splits.items():
            pngs = partial / "annotations" / f"panoptic_{split}"
            pngs.mkdir(parents=True)
            for index, image_id in enumerate(dataset.image_ids):
                where = f"image {image_id} in {dataset.annotation_file}"
                for name, source, target in (
                    (dataset.file_names[index], dataset.image_folder, partial / split),
                    (dataset.png_names[index], dataset.png_folder, pngs),
                ):
                    copy_image(name, source, target, where=where)
            pngs.with_suffix(".json").write_text(json.dumps(_content(dataset)), encoding="utf-8")


def list_categories(dataset: CocoPanoptic) -> list[dict[str, Any]]:
    """Entries of the categories: ids, names, things or stuff, colours where there are some."""
    columns = (dataset.category_ids, dataset.class_names, dataset.is_thing)
    entries: list[dict[str, Any]] = [
        {"id": category_id, "name": name, "isthing": int(is_thing)}
        for category_id, name, is_thing in zip(*columns, strict=True)
    ]
    if dataset.colours is not None:
        for entry, colour in zip(entries, dataset.colours.tolist(), strict=True):
            entry["color"] = colour
    return entries


def _content(dataset: CocoPanoptic) -> dict[str, Any]:
    return {
        "images": list_images(dataset.image_ids, dataset.file_names, dataset.sizes),
        "annotations": [
            {
                "image_id": image_id,
                "file_name": dataset.png_names[index],
                "segments_info": _list_segments(dataset, index),
            }
            for index, image_id in enumerate(dataset.image_ids)
        ],
        "categories": list_categories(dataset),
    }


def _list_segments(dataset: CocoPanoptic, index: int) -> list[dict[str, Any]]:
    ids, segments = dataset.load_segments(index)
    return [
        {
            "id": segment.id,
            "category_id": dataset.category_ids[segment.label],
            "area": segment.area,
            "bbox": _box_of(ids == segment.id),
            "iscrowd": int(segment.is_crowd),
        }
        for segment in segments
    ]


def _box_of(bitmap: np.ndarray) -> list[int]:
    """x, y, width and height around a mask `(H, W)`; zeros where it is empty."""
    y, x = np.nonzero(bitmap)
    if not len(y):
        return [0, 0, 0, 0]
    left, top = int(x.min()), int(y.min())
    return [left, top, int(x.max()) + 1 - left, int(y.max()) + 1 - top]
