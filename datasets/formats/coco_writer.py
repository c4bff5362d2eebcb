"""Writing detection data as COCO is published: `annotations/instances_{split}.json`, `{split}/`."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile


def write_coco(out: Path, splits: Mapping[str, tuple[CocoFile, Path]]) -> None:
    """Write annotations and copies of the images; the folder is whole or not there.

    Args:
        out: a new or empty folder.
        splits: annotations and image folder of each split, by the name to write it under.

    Raises:
        ValueError: the folder is not empty, or an image's name leads out of its folder.
        OSError: a file cannot be read or written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"data are written into a new or empty folder, got {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "annotations").mkdir(parents=True)
        for split, (coco, image_folder) in splits.items():
            _copy_images(coco, image_folder, partial / split)
            path = partial / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(_content(coco)), encoding="utf-8")
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_images(coco: CocoFile, source: Path, target: Path) -> None:
    target.mkdir()
    for image in coco.images:
        name = Path(image.file_name)
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(
                f"names of images must stay in their folder, got {image.file_name} of image "
                f"{image.id} in {coco.path}"
            )
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _content(coco: CocoFile) -> dict[str, Any]:
    return {
        "images": [
            {
                "id": image.id,
                "file_name": image.file_name,
                "height": image.size.height,
                "width": image.size.width,
            }
            for image in coco.images
        ],
        "annotations": [_entry(annotation) for annotation in coco.annotations],
        "categories": [
            {"id": category.id, "name": category.name, "supercategory": ""}
            for category in coco.categories
        ],
    }


def _entry(annotation: CocoAnnotation) -> dict[str, Any]:
    segmentation: Any = [polygon.ravel().tolist() for polygon in annotation.polygons]
    if annotation.run_lengths is not None:
        size, counts = annotation.run_lengths["size"], annotation.run_lengths["counts"]
        segmentation = {"size": list(size), "counts": counts.decode("ascii")}
    return {
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": list(annotation.box),
        "area": annotation.area,
        "iscrowd": int(annotation.is_crowd),
        "segmentation": segmentation,
    }
