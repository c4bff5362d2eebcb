"""Table of one image's inference, and the parts it is made of."""

import inference
import pytest
import torch
from inference import PARTS, check_detections, format_table, measure
from measuring.detection_batches import draw_images
from peers.detectors import NAMES, spread_scores


def test_every_part_of_both_models_is_timed(detectors) -> None:
    images = draw_images([(64, 96)])
    spread_scores(detectors, images, num_candidates=40)
    device = torch.device("cpu")
    seconds, parts = measure(detectors, images, rounds=2, device=device)
    for name in NAMES:
        assert list(parts[name]) == list(PARTS)
        assert all(value > 0 for value in parts[name].values()), parts[name]
        # Two rounds: the median is the mean, and nothing is counted twice or left out.
        assert sum(parts[name].values()) == pytest.approx(seconds[name], rel=0.05)


def test_too_few_detections_stop_the_benchmark(detectors) -> None:
    with pytest.raises(SystemExit, match=r"swin_dense must find 100 objects, got [0-5]"):
        check_detections(detectors, draw_images([(64, 64)]))


def test_table_has_seconds_shares_and_ratios() -> None:
    seconds = {"swin_dense": 2.0, "torchvision": 3.0}
    parts = {name: dict.fromkeys(PARTS, 0.1 * seconds[name]) for name in NAMES}
    parts["swin_dense"]["RoIAlign"] = 0.1
    head, whole, *rows = format_table("float32", seconds, parts).splitlines()
    assert head.split() == ["float32", "swin_dense", "%", "torchvision", "%", "theirs/ours"]
    assert whole.split() == ["all", "2.000", "3.000", "1.50"]
    assert len(rows) == len(PARTS)
    assert rows[PARTS.index("RoIAlign")].split() == [
        "RoIAlign",
        "0.100",
        "5",
        "0.300",
        "10",
        "3.00",
    ]


def test_unknown_types_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        inference.main(["--types", "float64"])
    assert stopped.value.code == 2
    assert "invalid choice: 'float64'" in capsys.readouterr().err
