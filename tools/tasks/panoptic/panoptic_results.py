"""Panoptic results as COCO's evaluator reads them: entries of a JSON file, and a PNG an image."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from swin_dense.datasets.formats.coco_writer import list_images
from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.formats.panoptic.panoptic_writer import list_categories
from swin_dense.datasets.formats.panoptic.segment_pngs import (
    decode_segment_ids,
    encode_segment_ids,
)
from swin_dense.datasets.metrics.panoptic_eval import SegmentMap
from swin_dense.datasets.samples import Segment
from swin_dense.tools.files import UniqueNames, atomic_write


class PackedSegments(NamedTuple):
    """The result of an image in little memory.

    Attributes:
        png: its map of ids.
        segments: see `PanopticResult`.
    """

    png: bytes
    segments: list[dict[str, Any]]

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "PackedSegments":
        """Of a model's result."""
        return cls(encode_segment_ids(result["panoptic"].cpu().numpy()), result["segments"])

    def unpack(self) -> SegmentMap:
        """The map and the segments as they are scored and drawn."""
        segments = [Segment(segment["id"], segment["label"]) for segment in self.segments]
        return SegmentMap(decode_segment_ids(self.png), segments)


def describe_segments(
    ids: np.ndarray, segments: Sequence[Mapping[str, Any]], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """The `segments_info` of an image.

    Args:
        ids: `(H, W)`.
        segments: see `PanopticResult`.
        category_ids: of each label.
    """
    described = []
    for segment in segments:
        bitmap = (ids == segment["id"]).astype(np.uint8)
        described.append(
            {
                "id": segment["id"],
                "category_id": category_ids[segment["label"]],
                "score": segment["score"],
                "area": int(bitmap.sum()),
                "bbox": list(cv2.boundingRect(bitmap)),
                "iscrowd": 0,
            }
        )
    return described


def write_panoptic(dataset: CocoPanoptic, packed: Mapping[int, PackedSegments], path: Path) -> None:
    """Write the results of a data set: the JSON file, and the PNGs in a folder of its name.

    Args:
        dataset: gives ids and names of the images, and the categories.
        packed: the results by the image's place in it.
        path: of the JSON file; the folder has its name without `.json`.
    """
    folder = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}_pngs")
    pngs = UniqueNames(folder)
    annotations = []
    for place, found in sorted(packed.items()):
        png = pngs.claim(dataset.file_names[place], (".png",))
        png.write_bytes(found.png)
        annotations.append(
            {
                "image_id": dataset.image_ids[place],
                "file_name": png.relative_to(folder).as_posix(),
                "segments_info": describe_segments(
                    decode_segment_ids(found.png), found.segments, dataset.category_ids
                ),
            }
        )
    content = {
        "images": list_images(dataset.image_ids, dataset.file_names, dataset.sizes),
        "annotations": annotations,
        "categories": list_categories(dataset),
    }
    atomic_write(path, json.dumps(content))
