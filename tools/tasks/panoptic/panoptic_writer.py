"""Writing of panoptic results in COCO's format: a JSON file, and a PNG an image."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from swin_dense.datasets.formats.panoptic.segment_pngs import encode_segment_ids
from swin_dense.datasets.samples import Segment
from swin_dense.heads.whole_model import Model
from swin_dense.tools.files import UniqueNames, atomic_write
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.panoptic.panoptic_pictures import draw_segments, segment_colours
from swin_dense.tools.tasks.panoptic.panoptic_results import describe_segments


class PanopticWriter:
    """Writes `predictions.json` and `panoptic/*.png` as COCO's evaluator reads them.

    The colour of a pixel in a PNG is the id of its segment, R + 256 G + 65536 B, 0 for none.

    Args:
        out: folder for both.
        model: gives class names, category ids, and which classes are stuff.
    """

    def __init__(self, out: Path, model: Model) -> None:
        num_classes = model.config.num_classes
        self._path = out / "predictions.json"
        self._names = model.class_names or tuple(f"class {i}" for i in range(num_classes))
        self._ids = model.category_ids or tuple(range(1, num_classes + 1))
        stuff = getattr(model.config, "stuff_classes", ())
        self._is_thing = tuple(label not in stuff for label in range(num_classes))
        self._colours = segment_colours(num_classes)
        self._pngs = UniqueNames(out / "panoptic")
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, image: Tensor, result: dict[str, Any]) -> Picture:
        """Write the segments of an image and draw them."""
        ids = result["panoptic"].cpu().numpy()
        path = self._pngs.claim(name, (".png",))
        partial_path = path.with_name(f".{path.stem}.partial.png")
        partial_path.write_bytes(encode_segment_ids(ids))
        partial_path.replace(path)
        image_id = len(self._images) + 1
        height, width = ids.shape
        self._images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        self._annotations.append(
            {
                "image_id": image_id,
                "file_name": path.relative_to(self._path.parent / "panoptic").as_posix(),
                "segments_info": describe_segments(ids, result["segments"], self._ids),
            }
        )
        return draw_segments(
            image,
            ids,
            [Segment(segment["id"], segment["label"]) for segment in result["segments"]],
            class_names=self._names,
            is_thing=self._is_thing,
            colours=self._colours,
            scores=[segment["score"] for segment in result["segments"]],
        )

    def close(self) -> None:
        """Write the JSON file."""
        categories = [
            {"id": category_id, "name": name, "isthing": int(is_thing)}
            for category_id, name, is_thing in zip(
                self._ids, self._names, self._is_thing, strict=True
            )
        ]
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }
        atomic_write(self._path, json.dumps(content))
