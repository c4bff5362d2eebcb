"""Both detectors against reference outputs of another framework, each built from its file alone."""

from pathlib import Path

import pytest
from golden_detection import (
    GoldenDetector,
    check_batch,
    check_boxes_and_scores,
    check_detections,
    check_features,
    check_losses,
    check_metrics,
    check_proposals,
)


@pytest.fixture(
    scope="module",
    params=["det_mmdet_mask_rcnn", "det_official_cascade"],
    ids=["mask_rcnn_in_mmdetection_layout", "cascade_in_microsoft_layout"],
)
def golden(request: pytest.FixtureRequest, shared: Path) -> GoldenDetector:
    """A folder's model and outputs."""
    return GoldenDetector(shared / "golden" / request.param)


def test_backbone_and_pyramid_equal_the_reference(golden: GoldenDetector) -> None:
    check_features(golden)


def test_proposals_equal_the_reference_one_to_one(golden: GoldenDetector) -> None:
    check_proposals(golden)


def test_detections_equal_the_reference_one_to_one(golden: GoldenDetector) -> None:
    check_detections(golden)


def test_photographs_of_several_sizes_in_a_batch_change_no_detection(
    golden: GoldenDetector,
) -> None:
    check_batch(golden, num_sizes=3)


def test_all_24_metrics_equal_the_reference(golden: GoldenDetector) -> None:
    check_metrics(golden)


def test_without_its_mask_head_a_detector_gives_the_same_boxes_and_scores(
    golden: GoldenDetector,
) -> None:
    check_boxes_and_scores(golden, golden.without_mask_head())


@pytest.mark.slow
def test_without_its_mask_head_a_detector_gives_the_same_box_metrics(
    golden: GoldenDetector,
) -> None:
    check_metrics(golden.without_mask_head(), kinds=("bbox",))


def test_losses_and_gradients_equal_the_reference(golden: GoldenDetector) -> None:
    check_losses(golden)
