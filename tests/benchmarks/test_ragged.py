"""Table of batches of different sizes."""

import argparse
from collections.abc import Sequence
from typing import Any

import pytest
import ragged
import torch
from peers.detectors import NAMES, Detector
from ragged import CANDIDATES, format_header, format_row, make_run, measure, split_batch
from torch import Tensor

SIZES = [(64, 96), (32, 64)]


Calls = list[list[tuple[int, ...]]]


@pytest.fixture
def noted() -> tuple[dict[str, Detector], dict[str, Calls]]:
    """Detectors of one weight, and the shapes of the images that each was given."""
    calls: dict[str, Calls] = {name: [] for name in NAMES}

    def detector(name: str) -> Detector:
        module = torch.nn.Linear(1, 1)

        def note(images: Sequence[Tensor], *_: Any) -> dict[str, Tensor]:
            calls[name].append([tuple(image.shape) for image in images])
            return {"loss": module.weight.sum()}

        return Detector(module, note, note, num_classes=3)

    return {name: detector(name) for name in NAMES}, calls


@pytest.mark.parametrize("work", ["forward", "train"])
def test_candidates_work_on_the_same_images(work: str, noted) -> None:
    detectors, calls = noted
    shapes = [(3, *size) for size in SIZES]
    batches = {"one by one": [[shape] for shape in shapes]}
    for candidate in CANDIDATES:
        seen = calls[ragged.model_of(candidate)]
        weight = detectors[ragged.model_of(candidate)].module.weight
        run = make_run(detectors, candidate, work, SIZES)
        assert len(seen) == 1  # small images, so that the first round is like the others
        seen.clear()
        before = weight.detach().clone()
        run()
        assert seen == batches.get(candidate, [shapes])
        assert weight.equal(before) == (work == "forward")
        seen.clear()


def test_a_split_batch_has_the_same_images_and_objects(noted) -> None:
    detector = noted[0]["swin_dense"]
    ((images, targets),) = split_batch(SIZES, detector, is_whole=True)
    alone = split_batch(SIZES, detector, is_whole=False)
    assert [len(batch[0]) for batch in alone] == [1, 1]
    for image, target, ([other_image], [other_target]) in zip(images, targets, alone, strict=True):
        assert image.equal(other_image)
        assert target["boxes"].equal(other_target["boxes"])


def test_a_model_without_room_is_not_timed(noted, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"swin_dense": 900.0, "torchvision": None}
    asked: list[list[str]] = []

    def ask(script: str, flags: list[object], **limits: float) -> float | None:
        asked.append([str(flag) for flag in flags])
        assert limits["max_seconds"] == 7.0
        return answers[str(flags[1])]

    monkeypatch.setattr(ragged, "make_detectors", lambda device: noted[0])
    monkeypatch.setattr(ragged, "ask_process", ask)
    monkeypatch.setattr(ragged, "make_run", lambda *arguments: lambda: None)
    arguments = argparse.Namespace(rounds=1, scale=0.5, limit=7.0, threads=1, seed=3)
    seconds, peaks = measure("train", SIZES, arguments)
    assert list(seconds) == ["swin_dense", "one by one"]
    assert peaks == {"swin_dense": 900.0}
    assert [flags[1] for flags in asked] == list(NAMES)
    for flags in asked:
        assert " ".join(flags[4:]) == "--images 2 --scale 0.5 --seed 3 --threads 1"
    row = format_row(SIZES, seconds, peaks).split()
    assert row[:3] == ["2", "0.01", "1.50"]
    assert row[-4:] == ["-", "-", "900", "-"]


def test_columns_stand_under_their_names() -> None:
    seconds = {"swin_dense": 10.0, "one by one": 11.0, "torchvision": 16.0}
    peaks = {"swin_dense": 900.0, "torchvision": 1200.0}
    row = format_row(SIZES, seconds, peaks)
    assert row.split() == ["2", "0.01", "1.50", "10.00", "11.00", "16.00", "1.60", "900", "1200"]
    assert len(row) == len(format_header("train"))


def test_unknown_work_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        ragged.main(["--work", "rest"])
    assert stopped.value.code == 2
    assert "invalid choice: 'rest'" in capsys.readouterr().err
