"""Tiny detectors whose detections are many and apart, and the comparison of a graph with them."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from swin_dense.configs import SwinConfig
from swin_dense.heads import create_model
from swin_dense.heads.detection.config import (
    BoxConfig,
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskConfig,
    MaskRCNNConfig,
    RPNConfig,
    TwoStageDetectorConfig,
)
from swin_dense.heads.detection.two_stage import TwoStageDetector

BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=4)
SHARED = {
    "backbone": BACKBONE,
    "num_classes": 5,
    "fpn_channels": 8,
}
RPN = RPNConfig(test_nms_pre=60, test_max_proposals=40)
MASK = MaskConfig(num_convs=1, channels=8)
STANDARD = {**SHARED, "rpn": RPN, "box": BoxConfig(fc_channels=16, max_detections=30)}
CASCADE = {
    **SHARED,
    "rpn": dataclasses.replace(RPN, allowed_border=0, smooth_l1_beta=1 / 9),
    "box": BoxConfig(num_convs=1, conv_channels=8, num_fcs=1, fc_channels=16, max_detections=30),
}
DETECTORS: dict[str, TwoStageDetectorConfig] = {
    "faster_rcnn": FasterRCNNConfig(**STANDARD),
    "mask_rcnn": MaskRCNNConfig(**STANDARD, mask=MASK),
    "cascade_rcnn": CascadeRCNNConfig(**CASCADE),
    "cascade_mask_rcnn": CascadeMaskRCNNConfig(**CASCADE, mask=MASK),
}


def spread_detector(name_or_config: str | TwoStageDetectorConfig) -> TwoStageDetector:
    """A detector with fixed random weights, large enough that scores and boxes spread out."""
    config = DETECTORS[name_or_config] if isinstance(name_or_config, str) else name_or_config
    torch.manual_seed(0)
    model = create_model(config)
    assert isinstance(model, TwoStageDetector)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        layer = name.split(".")[-2]
        gain = {"rpn_cls": 0.1, "rpn_reg": 0.2, "fc_cls": 1.0, "fc_reg": 0.5}.get(layer)
        if gain is not None:
            parameter.data.normal_(0, gain, generator=generator)
    return model.eval().requires_grad_(False)


def noise_image(size: tuple[int, int], seed: int = 0) -> Tensor:
    """`(3, H, W)` uint8: smooth blots, so that boxes differ from place to place."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    blots = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]
    noise = torch.rand(3, *size, generator=generator)
    return ((0.7 * blots + 0.3 * noise) * 255).to(torch.uint8)


def assert_same_detections(expected: dict, found: dict[str, np.ndarray]) -> None:
    """One to one in order: labels, boxes to 0.05 px, scores to 1e-4."""
    assert found["labels"].tolist() == expected["labels"].tolist()
    assert found["boxes"].shape == (len(expected["labels"]), 4)
    assert np.abs(found["boxes"] - expected["boxes"].numpy()).max(initial=0) < 0.05
    assert np.abs(found["scores"] - expected["scores"].numpy()).max(initial=0) < 1e-4
