"""Models behind the page, of any kind of file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from swin_dense.tools.export.exported_models import open_model
from swin_dense.tools.serve.served_model import ServedModel
from swin_dense.tools.task_flags import SegmentationInference
from swin_dense.tools.tasks.table import find_task


class Exported:
    """Stands for an exported segmentor: no module, no backbone."""

    task = "segmentation"
    config = SimpleNamespace(num_classes=3)
    class_names = ("sky", "tree", "road")
    category_ids = None

    def predict(self, images: Any, *, original_sizes: Any = None) -> list[torch.Tensor]:
        """One class everywhere."""
        assert images[0].dtype == torch.uint8
        return [torch.ones(size, dtype=torch.int64) for size in original_sizes]


def test_a_model_without_a_backbone_serves_alike() -> None:
    task = find_task("segmentation")
    predictor = task.predictor(SegmentationInference(scale=(32, 32)))
    served = ServedModel(Exported(), task, predictor)
    result, input_size, seconds = served.predict(np.zeros((40, 60, 3), np.uint8))
    assert result.shape == (40, 60)
    assert input_size == (21, 32)
    assert seconds > 0
    assert served.pyramids == ()
    with pytest.raises(ValueError, match="pyramid must be none, as exported files keep theirs"):
        served.pyramid(np.zeros((40, 60, 3), np.uint8), "backbone")


def test_a_weights_file_that_is_missing_is_said_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        open_model("absent.pth", device="cpu")


def test_levels_end_where_the_image_ends(weights: dict[str, Path]) -> None:
    task = find_task("segmentation")
    predictor = task.predictor(SegmentationInference(scale=(50, 50)))
    model = open_model(weights["segmentation"], device="cpu")
    served = ServedModel(model, task, predictor)
    assert served.pyramids == ("backbone",)
    levels = served.pyramid(np.zeros((30, 50, 3), np.uint8), "backbone")
    assert [(stride, values.shape) for stride, values in levels] == [
        *((4, (8, 8, 13)), (8, (16, 4, 7)), (16, (32, 2, 4)), (32, (64, 1, 2)))
    ]
