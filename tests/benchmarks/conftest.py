"""The benchmarks are scripts, found where they find each other; and detectors small enough here."""

import sys
from pathlib import Path

import pytest
import torch

from swin_dense import SwinConfig
from swin_dense.heads.detection.config import BoxConfig, MaskRCNNConfig, RPNConfig

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def small_config() -> MaskRCNNConfig:
    """Mask R-CNN with what torchvision does not fix made small."""
    return MaskRCNNConfig(
        num_classes=3,
        backbone=SwinConfig(
            embed_dim=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 4, 8), drop_path_rate=0.0
        ),
        fpn_channels=16,
        rpn=RPNConfig(
            test_nms_pre=60, test_max_proposals=60, train_nms_pre=60, train_max_proposals=60
        ),
        box=BoxConfig(max_detections=5, num_samples=16),
    )


@pytest.fixture
def detectors(small_config: MaskRCNNConfig):
    """Ours and torchvision's, the same weights."""
    from peers.detectors import make_detectors

    return make_detectors(torch.device("cpu"), small_config)
