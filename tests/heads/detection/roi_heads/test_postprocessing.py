"""Detections of the heads' outputs: selection, split by image, frame."""

import torch
from torch import Tensor

from swin_dense.heads.detection.config import BoxConfig
from swin_dense.heads.detection.roi_heads.postprocessing import (
    Detections,
    postprocess_boxes,
    rescale_to_original,
    select_detections,
)

STDS = (0.1, 0.1, 0.2, 0.2)
SELECTION = {
    "delta_stds": STDS,
    "size": (100, 100),
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 100,
}


def logits_of(scores: list[list[float]]) -> Tensor:
    """Logits whose softmax are these scores of two classes, the rest being background."""
    known = torch.tensor(scores)
    return torch.cat([known, 1 - known.sum(1, keepdim=True)], dim=1).log()


def test_detections_are_decoded_clipped_and_sorted_per_class() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [90, 90, 110, 110]])
    logits = logits_of([[0.6, 0.3], [0.5, 0.04], [0.02, 0.8]])
    deltas = torch.zeros(3, 2, 4)
    deltas[0, 1, 0] = 10.0  # class 1 of the first box moves by its width
    detections = select_detections(boxes, logits, deltas, **SELECTION)
    assert detections.labels.tolist() == [1, 0, 1]
    torch.testing.assert_close(detections.scores, torch.tensor([0.8, 0.6, 0.3]))
    assert detections.boxes.tolist() == [[90, 90, 100, 100], [0, 0, 10, 10], [10, 0, 20, 10]]


def test_no_more_detections_than_asked_and_none_from_nothing() -> None:
    boxes = torch.tensor([[10.0 * i, 0, 10 * i + 9, 9] for i in range(5)])
    logits = logits_of([[0.1 + 0.1 * i, 0] for i in range(5)])
    detections = select_detections(
        boxes, logits, torch.zeros(5, 2, 4), **(SELECTION | {"max_detections": 2})
    )
    torch.testing.assert_close(detections.scores, torch.tensor([0.5, 0.4]))
    none = select_detections(
        torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0, 2, 4), **SELECTION
    )
    assert none.boxes.shape == (0, 4)
    assert none.labels.dtype == torch.int64


def test_each_image_is_selected_from_alone_and_clipped_to_its_size() -> None:
    boxes = [torch.tensor([[0.0, 0, 9, 9], [50, 50, 70, 70]]), torch.tensor([[50.0, 50, 70, 70]])]
    logits = logits_of([[0.9, 0], [0.8, 0], [0.7, 0]])
    config = BoxConfig(score_threshold=0.1, nms_iou=0.5, max_detections=1)
    first, second = postprocess_boxes(
        boxes,
        logits,
        torch.zeros(3, 2, 4),
        config=config,
        delta_stds=STDS,
        sizes=[(100, 100), (60, 65)],
    )
    assert first.boxes.tolist() == [[0, 0, 9, 9]]
    assert second.boxes.tolist() == [[50, 50, 65, 60]]
    torch.testing.assert_close(second.scores, torch.tensor([0.7]))


def test_results_are_taken_to_the_original_frame_by_axis() -> None:
    # 100 x 50 became 40 x 25: each axis has its own factor.
    detections = Detections(
        torch.tensor([[5.0, 8, 20, 32]]), torch.tensor([0.7]), torch.tensor([1])
    )
    (result,) = rescale_to_original(
        [detections], [torch.ones(1, 28, 28)], sizes=[(40, 25)], original_sizes=[(100, 50)]
    )
    assert result["boxes"].tolist() == [[10, 20, 40, 80]]
    assert result["masks"].shape == (1, 100, 50)
    assert result["masks"][0, 20:80, 10:40].all()
    assert result["masks"].sum() == 60 * 30
