"""Mask R-CNN (mmdetection's layout) against reference outputs of another framework."""

from pathlib import Path

import pytest
from golden_detection import (
    GoldenDetector,
    check_detections,
    check_features,
    check_losses,
    check_metrics,
    check_proposals,
)


@pytest.fixture(scope="module")
def golden(shared: Path) -> GoldenDetector:
    """The folder's model and outputs."""
    return GoldenDetector(shared / "golden/det_mmdet_mask_rcnn")


def test_backbone_and_pyramid_equal_the_reference(golden: GoldenDetector) -> None:
    check_features(golden)


def test_proposals_equal_the_reference_one_to_one(golden: GoldenDetector) -> None:
    check_proposals(golden)


def test_detections_equal_the_reference_one_to_one(golden: GoldenDetector) -> None:
    check_detections(golden)


def test_all_24_metrics_equal_the_reference(golden: GoldenDetector) -> None:
    check_metrics(golden)


def test_losses_and_gradients_equal_the_reference(golden: GoldenDetector) -> None:
    check_losses(golden)
