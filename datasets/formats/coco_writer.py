"""Writing detection data as COCO is published: `annotations/instances_{split}.json`, `{split}/`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.folders import copy_image, whole_folder
from swin_dense.datasets.samples import Size


def write_coco(out: Path, splits: Mapping[str, tuple[CocoFile, Path]]) -> None:
    """Write annotations and copies of the images; the folder is whole or not there.

    Args:
        out: a new or empty folder.
        splits: annotations and image folder of each split, by the name to write it under.

    Raises:
        ValueError: the folder is not empty, or an image's name leads out of its folder.
        OSError: a file cannot be read or written.
    """
    with whole_folder(out) as partial:
        (partial / "annotations").mkdir(parents=True)
        for split, (coco, image_folder) in splits.items():
            (partial / split).mkdir()
            for image in coco.images:
                where = f"image {image.id} in {coco.path}"
                copy_image(image.file_name, image_folder, partial / split, where=where)
            path = partial / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(_content(coco)), encoding="utf-8")


def list_images(
    ids: Iterable[int | str], names: Iterable[str], sizes: Iterable[Size]
) -> list[dict[str, object]]:
    """Entries of a file's images: their ids, names and sizes in px."""
    return [
        {"id": image_id, "file_name": name, "height": size.height, "width": size.width}
        for image_id, name, size in zip(ids, names, sizes, strict=True)
    ]


def _content(coco: CocoFile) -> dict[str, Any]:
    columns = zip(*((image.id, image.file_name, image.size) for image in coco.images), strict=True)
    return {
        "images": list_images(*columns),
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
