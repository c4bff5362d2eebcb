"""Both packages that match detections give the same numbers.

To 1e-12: where pycocotools divides by `fp + tp + 2.2e-16`, the other divides by `fp + tp`.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_writer import annotation, write_coco

from swin_dense.datasets.masks import compress_bitmaps
from swin_dense.datasets.metrics.coco_backends import choose_backend
from swin_dense.datasets.metrics.coco_eval import CocoEvaluator

_IS_FASTER_INSTALLED = importlib.util.find_spec("faster_coco_eval") is not None
needs_faster = pytest.mark.skipif(
    not _IS_FASTER_INSTALLED, reason='needs faster-coco-eval: pip install "swin-dense[fast-eval]"'
)
BACKENDS = ["pycocotools", pytest.param("faster-coco-eval", marks=needs_faster)]

_ROUNDING = 1e-12
_SIZE = 200  # px, both sides of every image


def _random_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """`(count, 4)` x, y, width, height, small to large, in whole px."""
    sides = np.exp(random.uniform(np.log(4), np.log(190), (count, 2))).astype(int)
    corners = (random.uniform(0, 1, (count, 2)) * (_SIZE - sides)).astype(int)
    return np.concatenate([corners, sides], axis=1)


def _mask(box: np.ndarray) -> dict[str, Any]:
    """The ellipse in a box, compressed."""
    x, y, width, height = box
    rows, columns = np.mgrid[:_SIZE, :_SIZE] + 0.5
    distance = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2
    mask = compress_bitmaps(distance[None] < 0.25)[0]
    return {"size": mask["size"], "counts": mask["counts"].decode()}


@pytest.fixture
def random_case(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Annotations with crowds, and detections that hit, miss and repeat; many scores are equal."""
    random = np.random.default_rng(0)
    categories = [{"id": number, "name": f"class {number}"} for number in (2, 3, 7, 90)]
    images = [
        {"id": number, "file_name": f"{number}.jpg", "height": _SIZE, "width": _SIZE}
        for number in range(1, 13)
    ]
    annotations, detections = [], []
    for image in images:
        for box in _random_boxes(random, int(random.integers(0, 9))):
            mask = _mask(box)
            category = int(random.choice((2, 3, 7)))  # 90 has detections alone
            annotations.append(
                annotation(
                    len(annotations) + 1,
                    image_id=image["id"],
                    category_id=category,
                    box=box.tolist(),
                    segmentation=mask,
                    area=float(np.prod(box[2:]) * np.pi / 4),
                    iscrowd=int(random.random() < 0.15),
                )
            )
            for _ in range(random.integers(0, 4)):
                moved = box.copy()
                moved[:2] = np.clip(moved[:2] + random.integers(-4, 5, 2), 0, _SIZE - box[2:])
                detections.append((image["id"], category, moved))
        for box in _random_boxes(random, 6):
            detections.append((image["id"], int(random.choice((2, 3, 7, 90))), box))
    entries = [
        {
            "image_id": image_id,
            "category_id": category,
            "bbox": box.tolist(),
            "score": float(random.integers(1, 20) / 20),
            "segmentation": _mask(box),
        }
        for image_id, category, box in detections
    ]
    content = {"images": images, "categories": categories, "annotations": annotations}
    return write_coco(tmp_path, content), entries


@needs_faster
def test_both_packages_agree_on_random_data(
    random_case: tuple[Path, list[dict[str, Any]]],
) -> None:
    truth, detections = random_case
    slow = CocoEvaluator(truth, backend="pycocotools")
    fast = CocoEvaluator(truth, backend="faster-coco-eval")
    slow.add_detections(detections)
    fast.add_detections(detections)
    scores, others = slow.compute(), fast.compute()
    for kind in ("bbox", "segm"):
        assert scores[kind] == pytest.approx(others[kind], abs=_ROUNDING)
        assert scores["per_class"][kind] == pytest.approx(others["per_class"][kind], abs=_ROUNDING)
    assert all(0.05 < scores[kind]["AP"] < 0.9 for kind in ("bbox", "segm"))
    assert all(scores[kind][f"AP{size}"] > -1 for kind in ("bbox", "segm") for size in "sml")
    slow_curves, fast_curves = slow.precision_recall(), fast.precision_recall()
    for kind, curves in slow_curves.items():
        assert np.allclose(curves.precision, fast_curves[kind].precision, rtol=0, atol=_ROUNDING)
        assert np.array_equal(curves.precision == -1, fast_curves[kind].precision == -1)
        assert np.array_equal(curves.recall, fast_curves[kind].recall)


@needs_faster
def test_both_packages_agree_without_objects_or_detections(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.jpg", "height": _SIZE, "width": _SIZE}]
    categories = [{"id": 5, "name": "cat"}]
    box = np.array([10, 10, 40, 40])
    one = annotation(1, image_id=1, category_id=5, box=box.tolist(), segmentation=_mask(box))
    entry = {"image_id": 1, "category_id": 5, "bbox": box.tolist(), "score": 0.5}
    for number, (annotations, detections) in enumerate(
        (([], []), ([one], []), ([], [entry]), ([one], [entry]))
    ):
        content = {"images": images, "categories": categories, "annotations": annotations}
        truth = write_coco(tmp_path / str(number), content)
        scores = []
        for backend in ("pycocotools", "faster-coco-eval"):
            evaluator = CocoEvaluator(truth, backend=backend)
            evaluator.add_detections(detections)
            scores.append(evaluator.compute())
        for kind in ("bbox", "segm"):
            assert scores[0][kind] == pytest.approx(scores[1][kind], abs=_ROUNDING)


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_numbers_are_reproduced_to_every_printed_digit(
    shared: Path, backend: Any
) -> None:
    folder = shared / "data" / "coco_eval_reference"
    expected = json.loads((folder / "expected.json").read_text())
    for kind in ("bbox", "segm"):
        evaluator = CocoEvaluator(folder / "instances_val2014_100.json", backend=backend)
        name = f"instances_val2014_fake{kind}100_results.json"
        evaluator.add_detections(json.loads((folder / name).read_text()))
        scores = evaluator.compute()[kind]
        assert evaluator.backend == backend
        assert {key: round(value, 3) for key, value in scores.items()} == expected[kind][
            "published"
        ]
        assert scores == pytest.approx(expected[kind]["pycocotools"], abs=5e-10)


def test_the_faster_package_is_taken_where_it_is_installed() -> None:
    expected = "faster-coco-eval" if _IS_FASTER_INSTALLED else "pycocotools"
    assert choose_backend("auto") == expected
    assert choose_backend("pycocotools") == "pycocotools"


def test_a_package_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_backend("auto") == "pycocotools"
    with pytest.raises(ValueError, match=r"must be installed, got none; pip install \"swin-dense"):
        choose_backend("faster-coco-eval")
    with pytest.raises(ValueError, match="one of auto, pycocotools, faster-coco-eval, got 'lvis'"):
        choose_backend("lvis")  # type: ignore[arg-type]
