"""The interface of RoI heads."""

import pytest
import torch

from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.padding import ImageBatch


def test_losses_and_detections_are_left_to_subclasses() -> None:
    heads = RoIHeads()
    with pytest.raises(NotImplementedError):
        heads([], [], [], ImageBatch(torch.zeros(1, 3, 32, 32), ((32, 32),)))
    with pytest.raises(NotImplementedError):
        heads.predict([], [], [(32, 32)], [(32, 32)])
