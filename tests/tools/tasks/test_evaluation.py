"""Prediction over a data set: order, modes, parts of it, precision, devices."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.tools.task_flags import (
    DetectionPrediction,
    PanopticInference,
    SegmentationInference,
)
from swin_dense.tools.tasks.detection import DetectionTask
from swin_dense.tools.tasks.evaluation import (
    autocast,
    choose_device,
    evaluate_model,
    evaluation_loader,
    predict_batches,
)
from swin_dense.tools.tasks.panoptic.panoptic_task import PanopticTask
from swin_dense.tools.tasks.segmentation import SegmentationTask


class _Model(nn.Module):
    """A layer, which notes the mode and the number format that it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.seen: list[Any] = []


class _Data:
    """As a data set: sample i is an image of i."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": torch.full((2,), float(index)), "original_size": (index, 7), "id": index}


def _predict(model: _Model, images: Any, sizes: Any) -> list[Any]:
    outputs = [model.layer(image) for image in images]
    model.seen.append((model.training, torch.is_grad_enabled(), outputs[0].dtype))
    return [(int(image[0]), size) for image, size in zip(images, sizes, strict=True)]


def test_results_come_in_order_without_gradients_in_eval_mode() -> None:
    model = _Model().train()
    batches: Any = evaluation_loader(_Data(5), batch_size=2, num_workers=0)
    found = list(predict_batches(model, batches, predict=_predict))  # type: ignore[arg-type]
    assert [len(samples) for samples, _ in found] == [2, 2, 1]
    assert [result for _, results in found for result in results] == [(i, (i, 7)) for i in range(5)]
    assert model.seen == [(False, False, torch.float32)] * 3


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_number_format_is_that_of_the_flag(precision: str, expected: torch.dtype) -> None:
    with autocast(torch.device("cpu"), precision):
        assert nn.Linear(2, 2)(torch.ones(2)).dtype is expected


def test_the_parts_of_several_processes_are_the_whole() -> None:
    parts = [
        [sample["id"] for samples in evaluation_loader(
            _Data(5), batch_size=2, num_workers=0, part=(index, 2)
        ) for sample in samples]
        for index in range(2)
    ]  # fmt: skip
    assert sorted(parts[0] + parts[1]) == list(range(5))
    assert abs(len(parts[0]) - len(parts[1])) <= 1


def test_a_model_is_scored_by_its_task_on_every_sample() -> None:
    def evaluate(model: Any, dataset: Any, predictions: Any, *, gather: Any) -> list[Any]:
        assert gather is None
        return [result for _, results in predictions for result in results]

    task: Any = SimpleNamespace(evaluate=evaluate)
    model: Any = _Model()
    scores: Any = evaluate_model(model, _Data(3), task, predict=_predict, batch_size=2)
    assert scores == [(0, (0, 7)), (1, (1, 7)), (2, (2, 7))]


def test_a_loader_does_not_move_the_random_numbers_of_a_training() -> None:
    before: Tensor = torch.get_rng_state()
    list(evaluation_loader(_Data(2), batch_size=1, num_workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_device_of_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="--device cuda must have a GPU that torch can use"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")


@pytest.mark.parametrize(
    ("task", "flags"),
    [
        (DetectionTask(), DetectionPrediction(scale=(48, 32))),
        (SegmentationTask(), SegmentationInference(scale=(48, 32))),
        (PanopticTask(), PanopticInference(scale=(48, 32))),
    ],
)
def test_images_are_resized_as_for_the_published_scores(task: Any, flags: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8)
    others = task.predictor(flags, SimpleNamespace(is_resized_by_pillow=False)).scale
    scale = task.predictor(flags, Mask2Former).scale
    assert scale == others == (48, 32)
    by_pillow = Image.fromarray(pixels).resize((40, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(task.resize(pixels, scale).permute(1, 2, 0), np.asarray(by_pillow))
    by_opencv = cv2.resize(pixels, (40, 32), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(task.resize(pixels, others).permute(1, 2, 0), by_opencv)
