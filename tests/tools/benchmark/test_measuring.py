"""Measurements: of our model and of peers of its sizes, in this process and in one of its own."""

from pathlib import Path

import numpy as np
import pytest
from detector_graphs import spread_detector

import swin_dense as sd
from swin_dense.tools.benchmark.measuring import Job, measure, measure_here
from swin_dense.tools.benchmark.peers import make_peer

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 64, 96), dtype=np.uint8)


def job(way: str, weights: Path) -> Job:
    return Job(
        way=way,
        weights=str(weights),
        exported=None,
        image=IMAGE,
        rounds=2,
        threads=None,
        device="cpu",
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    sd.heads.save_model(spread_detector("mask_rcnn"), path)
    return path


def test_a_model_is_timed_and_its_result_kept(weights: Path) -> None:
    found = measure_here(job("eager", weights))
    assert 0 < found.seconds < found.first_seconds
    assert found.memory > 50
    assert found.result is not None
    assert len(found.result["scores"]) > 5


def test_a_peer_of_the_same_sizes_is_timed_without_a_result(weights: Path) -> None:
    found = measure_here(job("torchvision", weights))
    assert found.seconds > 0
    assert found.result is None


def test_a_segmentor_of_transformers_gives_a_class_for_each_pixel() -> None:
    pytest.importorskip("transformers", reason="needs transformers")
    backbone = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    config = sd.heads.UPerNetConfig(backbone=backbone, num_classes=5, decoder_channels=8)
    import torch

    label_map = make_peer("transformers", config, torch.device("cpu"))(torch.from_numpy(IMAGE))
    assert tuple(label_map.shape) == IMAGE.shape[1:]
    assert int(label_map.max()) < 5


def test_what_fails_in_its_process_is_told(tmp_path: Path) -> None:
    found = measure(job("eager", tmp_path / "absent.safetensors"))
    assert found.error is not None
    assert "absent.safetensors" in found.error
