"""Detectors exported for real: at many sizes what the model finds, and the reference's scores.

Writing a file takes a minute, so these tests run with SWIN_DENSE_SLOW alone; what is quick is
tested with the graph itself.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from detector_graphs import DETECTORS, assert_same_detections, noise_image, spread_detector
from golden_detection import GoldenDetector, check_detections, check_metrics

import swin_dense as sd

pytestmark = pytest.mark.slow
SIZES = [(32, 32), (32, 200), (47, 33), (64, 96), (75, 161), (129, 98), (211, 333), (300, 41)]
GOLDEN = {
    "det_mmdet_mask_rcnn": "mask_rcnn_in_mmdetection_layout",
    "det_official_cascade": "cascade_in_microsoft_layout",
}


def export(weights: Path, out: Path) -> Path:
    for library in ("onnx", "onnxscript", "onnxruntime") if out.suffix == ".onnx" else ():
        pytest.importorskip(library, reason=f'needs {library} (pip install -e ".[export]")')
    return sd.tools.export(weights, out)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_file_finds_what_its_model_finds_at_any_size(
    name: str, suffix: str, tmp_path: Path
) -> None:
    model = spread_detector(name)
    weights = tmp_path / "model.safetensors"
    sd.heads.save_model(model, weights)
    exported = sd.tools.load_exported(export(weights, tmp_path / f"model{suffix}"))
    for seed, size in enumerate(SIZES):
        image = noise_image(size, seed=seed)
        (expected,), (found,) = model.predict([image]), exported.predict([image])
        arrays = {key: np.asarray(found[key]) for key in ("boxes", "scores", "labels")}
        assert len(found["scores"]) > 5
        assert_same_detections(expected, arrays)
        if model.gives_masks:
            assert (found["masks"] != expected["masks"]).float().mean() < 1e-4


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_gives_empty_outputs_where_nothing_is_found(suffix: str, tmp_path: Path) -> None:
    model = spread_detector("mask_rcnn")
    model.roi_head.bbox_head.fc_cls.bias[-1] = 1e4  # background
    weights = tmp_path / "model.safetensors"
    sd.heads.save_model(model, weights)
    exported = sd.tools.load_exported(export(weights, tmp_path / f"model{suffix}"))
    for image in (torch.zeros(3, 61, 45, dtype=torch.uint8), noise_image((97, 131))):
        (found,) = exported.predict([image])
        assert found["boxes"].shape == (0, 4)
        assert found["masks"].shape == (0, *image.shape[1:])


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("folder", GOLDEN, ids=list(GOLDEN.values()))
def test_an_exported_golden_detector_has_the_references_detections_and_scores(
    folder: str, suffix: str, shared: Path, tmp_path: Path
) -> None:
    root = shared / "golden" / folder
    file = export(root / "model.pth", tmp_path / f"model{suffix}")
    golden = GoldenDetector(root, sd.tools.load_exported(file))
    check_detections(golden)
    check_metrics(golden)
    scores = sd.tools.evaluate(file, data=root / "data", split="train2017", scale=(512, 320))
    reference = golden.read_json("metrics.json")["pycocotools_stats"]
    for kind in ("bbox", "segm"):
        assert list(scores[kind].values()) == pytest.approx(reference[kind], abs=1e-3)
