"""Detection in large images: in the whole, which is resized, and in tiles at full resolution."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from swin_dense.datasets.masks import move_mask
from swin_dense.heads.detection.boxes.tiles import (
    Tile,
    cut_tiles,
    merge_detections,
    touches_inner_edge,
)
from swin_dense.tools.tasks.results.compact import keep_detections
from swin_dense.tools.tasks.task import Predict

_NMS_IOU = 0.5  # of the released detectors
_MARGIN = 0.01  # sides of a tile; boxes are not exact to the pixel

Resize = Callable[[Tensor], Tensor]


def in_tiles(
    predict: Predict, *, side: int, overlap: int, resize: Resize, shrink: Resize
) -> Predict:
    """The way to detect in images of any size as they are, one tile after the other.

    An image that fits into a tile is resized and predicted as ever. A larger one is predicted once
    as a whole, resized, which gives the objects that are larger than the overlap; and in tiles,
    which give the others, and what is found of larger ones. What a tile's edge cuts gives way to
    what is whole (`merge_detections`).

    Args:
        predict: gives detections of resized images, masks as compressed run lengths.
        side: of a tile, px of the image.
        overlap: px that neighbouring tiles share at least.
        resize: the resize of whole images.
        shrink: the resize of tiles.
    """

    def predict_image(model: Any, image: Tensor) -> dict[str, Any]:
        size = (image.shape[1], image.shape[2])
        (whole,) = predict(model, [resize(image)], [size])
        tiles = cut_tiles(size, side=side, overlap=overlap)
        if len(tiles) == 1:
            return whole
        widths = whole["boxes"][:, 2:] - whole["boxes"][:, :2]
        found = [keep_detections(whole, widths.amax(dim=1) > overlap)]
        cut = [torch.zeros(len(found[0]["scores"]), dtype=torch.bool)]
        for tile in tiles:
            part = image[:, tile.top : tile.bottom, tile.left : tile.right]
            (result,) = predict(model, [shrink(part)], [(part.shape[1], part.shape[2])])
            moved = _move(result, tile, size)
            found.append(moved)
            cut.append(touches_inner_edge(moved["boxes"], tile, size, margin=_MARGIN * side).cpu())
        joined = _join(found)
        kept = merge_detections(
            joined["boxes"], joined["scores"], joined["labels"], torch.cat(cut), nms_iou=_NMS_IOU
        )
        return keep_detections(joined, kept)

    def predict_images(
        model: Any, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Any]]:
        del original_sizes  # the images are the originals
        return [predict_image(model, image) for image in images]

    return predict_images


def _move(result: dict[str, Any], tile: Tile, size: tuple[int, int]) -> dict[str, Any]:
    """Detections of a tile in the frame of the image."""
    corner = torch.tensor([tile.left, tile.top] * 2).to(result["boxes"])
    moved = result | {"boxes": result["boxes"] + corner}
    if "masks" in result:
        moved["masks"] = [
            move_mask(mask, size, left=tile.left, top=tile.top) for mask in result["masks"]
        ]
    return moved


def _join(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Detections of several parts as those of one image, on the CPU."""
    return {
        name: torch.cat([result[name].cpu() for result in results])
        if isinstance(value, Tensor)
        else [mask for result in results for mask in result[name]]
        for name, value in results[0].items()
    }
