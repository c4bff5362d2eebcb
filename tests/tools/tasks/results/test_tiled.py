"""Drawn rectangles on the borders of tiles, larger than tiles, and too small for the resize."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from swin_dense.datasets.masks import decompress
from swin_dense.tools.task_flags import DetectionEvaluation, DetectionPrediction
from swin_dense.tools.tasks.detection import DetectionTask
from swin_dense.tools.tasks.results.compact import predict_compactly
from swin_dense.tools.tasks.results.tiled import in_tiles

SIDE, OVERLAP = 200, 60
SIZE = (400, 600)
# Tiles begin at 0, 133, 267, 400 and at 0, 100, 200.
ON_A_BORDER = [180, 20, 220, 60]
ON_A_CORNER = [250, 290, 290, 320]
AT_THE_IMAGES_EDGE = [570, 380, 600, 400]
SMALL = [40, 333, 45, 338]
LARGER_THAN_A_TILE = [300, 60, 550, 280]


class RectangleFinder:
    """A detector that finds what is lit, exactly; the class is 1 where there is green in it."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def predict(
        self, images: Sequence[Tensor], *, original_sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        return [self._find(*pair) for pair in zip(images, original_sizes, strict=True)]

    def _find(self, image: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        self.sizes.append(tuple(image.shape[1:]))
        lit = np.ascontiguousarray((image[0] > 127).numpy().astype(np.uint8))
        num, parts, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=4)
        x, y, width, height, area = torch.from_numpy(stats[1:]).float().unbind(1)
        factor = torch.tensor([size[1] / image.shape[2], size[0] / image.shape[1]] * 2)
        masks = [
            cv2.resize((parts == i) * np.uint8(1), size[::-1], interpolation=0)
            for i in range(1, num)
        ]
        return {
            "boxes": torch.stack([x, y, x + width, y + height], dim=1) * factor,
            "scores": 0.9 - area / 1e6,  # what is cut off scores higher than the whole
            "labels": torch.tensor(
                [int(image[1][torch.from_numpy(parts == i)].max() > 0) for i in range(1, num)],
                dtype=torch.int64,
            ),
            "masks": torch.from_numpy(np.array(masks)).reshape(-1, *size).bool(),
        }


def draw(*boxes: list[int]) -> Tensor:
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    for left, top, right, bottom in boxes:
        image[0, top:bottom, left:right] = 255
    return image


def find(image: Tensor) -> dict[str, Any]:
    """With a resize to a tenth."""
    predict = in_tiles(
        predict_compactly,
        side=SIDE,
        overlap=OVERLAP,
        resize=lambda image: image[:, 5::10, 5::10],
        shrink=lambda tile: tile,
    )
    (found,) = predict(RectangleFinder(), [image], [SIZE])
    return found


@pytest.mark.parametrize(
    "box", [ON_A_BORDER, ON_A_CORNER, AT_THE_IMAGES_EDGE, SMALL, LARGER_THAN_A_TILE]
)
def test_each_object_is_found_once_with_its_box_and_mask(box: list[int]) -> None:
    found = find(draw(box))
    assert found["boxes"].tolist() == [box]
    expected = np.zeros(SIZE, dtype=bool)
    expected[box[1] : box[3], box[0] : box[2]] = True
    assert (decompress(found["masks"])[0] == expected).all()


def test_all_of_them_together_are_found_once_best_first() -> None:
    boxes = [ON_A_BORDER, ON_A_CORNER, AT_THE_IMAGES_EDGE, SMALL, LARGER_THAN_A_TILE]
    found = find(draw(*boxes))
    assert sorted(found["boxes"].int().tolist()) == sorted(boxes)
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert len(found["masks"]) == len(found["labels"]) == len(boxes)


def test_an_empty_image_has_nothing_in_any_tile() -> None:
    found = find(draw())
    assert found["boxes"].shape == (0, 4)
    assert found["masks"] == []


def test_flags_of_predict_and_evaluate_choose_the_tiles() -> None:
    task = DetectionTask()
    for flags in (
        DetectionPrediction(tiles=SIDE, overlap=OVERLAP),
        DetectionEvaluation(tiles=SIDE, overlap=OVERLAP),
    ):
        predictor = task.predictor(flags)
        assert predictor.scale is None
        image = task.resize(draw(ON_A_BORDER, SMALL).permute(1, 2, 0).numpy(), predictor.scale)
        model = RectangleFinder()
        (found,) = predictor.predict(model, [image], [SIZE])
        assert sorted(found["boxes"].int().tolist()) == sorted([ON_A_BORDER, SMALL])
        assert model.sizes == [(800, 1200)] + 12 * [(SIDE, SIDE)]


def test_tiles_larger_than_a_given_scale_are_shrunk_to_it() -> None:
    model = RectangleFinder()
    flags = DetectionPrediction(tiles=SIDE, overlap=OVERLAP, scale=(150, 100))
    (found,) = DetectionTask().predictor(flags).predict(model, [draw(ON_A_BORDER)], [SIZE])
    assert set(model.sizes) == {(100, 150), (100, 100)}
    assert len(found["boxes"]) == 1


def test_an_image_that_fits_into_a_tile_is_predicted_as_without_tiles() -> None:
    image = draw(ON_A_BORDER)[:, :200, 50:250]
    task, model = DetectionTask(), RectangleFinder()
    tiled = task.predictor(DetectionPrediction(tiles=SIDE, overlap=OVERLAP))
    (found,) = tiled.predict(model, [image], [(200, 200)])
    assert model.sizes == [(800, 800)]
    plain = task.predictor(DetectionPrediction())
    resized = task.resize(image.permute(1, 2, 0).numpy(), plain.scale)
    (expected,) = plain.predict(model, [resized], [(200, 200)])
    assert torch.equal(found["boxes"], expected["boxes"])
    assert found["masks"] == expected["masks"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tiles": 10}, "--tiles must be at least 64 px, got 10"),
        ({"tiles": 300}, r"--overlap must be in 0\.\.150, half of --tiles, got 200"),
        ({"overlap": 100}, "--overlap is for --tiles, got 100 without tiles"),
    ],
)
def test_tiles_that_cannot_be_are_refused(flags: dict[str, int], message: str) -> None:
    for kind in (DetectionPrediction, DetectionEvaluation):
        with pytest.raises(ValueError, match=message):
            kind(**flags)
