"""Agreement of two runtimes' detections, and where it ends."""

import numpy as np

from swin_dense.heads.detection.graph.agreement import detection_differences, pair_detections

NUM = 40


def detections(seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 400, (NUM, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(20, 80, (NUM, 2))], axis=1)
    return {
        "boxes": boxes.astype(np.float32),
        "scores": np.linspace(0.9, 0.1, NUM, dtype=np.float32),
        "labels": draw.integers(0, 5, NUM),
        "masks": draw.uniform(0, 1, (NUM, 4, 4)).astype(np.float32),
    }


def chosen(found: dict[str, np.ndarray], places: list[int]) -> dict[str, np.ndarray]:
    return {name: value[places] for name, value in found.items()}


def names(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> list[str]:
    return [name for name, _ in detection_differences(expected, found, score_threshold=0.05)]


def test_rounding_order_and_a_lost_detection_are_no_difference() -> None:
    expected = detections()
    found = {name: value.copy() for name, value in expected.items()}
    found["boxes"] += 0.01
    found["scores"] += 2e-5
    assert names(expected, chosen(found, [1, 0, *range(2, NUM)])) == []
    assert names(expected, chosen(found, list(range(NUM - 1)))) == []
    none = chosen(expected, [])
    assert names(none, none) == []


def test_what_is_wrong_is_named() -> None:
    expected = detections()
    for name, change in (("boxes", 0.5), ("scores", 0.01), ("masks", 0.1)):
        found = expected | {name: expected[name] + change}
        assert names(expected, found) == [name]
    assert names(expected, expected | {"labels": expected["labels"] + 1}) == ["boxes"]
    assert names(expected, chosen(expected, [])) == ["boxes"]
    assert names(expected, detections(seed=1)) == ["boxes"]
    broken = expected["scores"].copy()
    broken[3] = np.nan
    assert names(expected, expected | {"scores": broken}) == ["scores"]
    assert names(expected, expected | {"masks": expected["masks"][:, :2]}) == ["masks"]


def test_fewer_bits_may_move_the_edge_of_a_mask_but_not_the_mask() -> None:
    expected = detections()
    edge, mask = expected["masks"].copy(), 1 - expected["masks"]
    edge[:, 0, 0] = 1 - edge[:, 0, 0]
    for masks, differing in ((edge, []), (mask, ["masks"])):
        found = expected | {"masks": masks}
        assert names(expected, found) == ["masks"]
        differences = detection_differences(
            expected, found, score_threshold=0.05, tolerance=100 * 1e-3
        )
        assert [name for name, _ in differences] == differing


def test_a_detection_is_paired_once_with_the_nearest_of_its_label() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]], dtype=np.float32)
    first = {"boxes": boxes, "labels": np.array([1, 1, 2])}
    second = {"boxes": boxes[[1, 0, 2]], "labels": np.array([1, 1, 3])}
    assert pair_detections(first, second, near=2.0) == [(0, 1), (1, 0)]
