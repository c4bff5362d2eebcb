"""The interface of RoI heads."""

import pytest
import torch
from one_size import of_one_size

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.interface import RoIHeads
from swin_dense.padding import ImageBatch


def test_losses_and_detections_are_left_to_subclasses() -> None:
    heads = RoIHeads(MaskRCNNConfig(backbone=SwinConfig()), strides=(4,))
    pyramids = of_one_size([torch.zeros(1, 8, 8, 8)])
    with pytest.raises(NotImplementedError):
        heads(pyramids, [], [], ImageBatch(torch.zeros(1, 3, 32, 32), ((32, 32),)), [])
    with pytest.raises(NotImplementedError):
        heads.predict(pyramids, [], [(32, 32)], [(32, 32)])
    for name in ("last_delta_stds", "mask_heads"):
        with pytest.raises(NotImplementedError):
            getattr(heads, name)
