"""`benchmark` writes a table, a picture and JSON; what is wrong is one line."""

import json
from pathlib import Path

import pytest
from detector_graphs import spread_detector

import swin_dense as sd
from swin_dense.tools.cli import main


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    sd.heads.save_model(spread_detector("faster_rcnn"), path)
    return path


def test_the_ways_asked_for_are_measured_and_written(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--size", "64", "96", "--ways", "eager", "--rounds", "1", "--device", "cpu"]
    assert main(["benchmark", "--weights", str(weights), "--out", str(out), *words]) == 0
    assert "faster_rcnn, 64 x 96 px" in capsys.readouterr().out
    found = json.loads((out / "benchmark.json").read_text())
    assert found["ways"]["eager"]["seconds"] > 0
    assert found["ways"]["eager"]["agreement"]["same"] == 1
    assert "100.0% of the detections" in (out / "benchmark.txt").read_text()
    assert (out / "benchmark.png").stat().st_size > 1000


@pytest.mark.slow
def test_every_way_agrees_with_eager(weights: Path, tmp_path: Path) -> None:
    found = sd.tools.benchmark(weights, size=(64, 96), rounds=1, out=tmp_path / "out")
    for name, row in found["ways"].items():
        assert row["error"] is None, name
        assert row["agreement"] is None or row["agreement"]["same"] == 1, name


def test_what_cannot_be_is_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "model.onnx"
    exported.touch()
    out = ["--out", str(tmp_path / "out")]
    assert main(["benchmark", "--weights", str(exported), *out]) == 2
    assert "--weights must be a weights file" in capsys.readouterr().err
    words = ["--weights", str(weights), "--ways", "transformers", *out]
    assert main(["benchmark", *words]) == 2
    assert "--ways transformers has no faster_rcnn; choose among" in capsys.readouterr().err
