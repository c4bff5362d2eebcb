"""Table of batches of different sizes."""

import argparse
from dataclasses import replace
from typing import Any

import pytest
import ragged
from peers.detectors import NAMES
from ragged import CANDIDATES, format_header, format_row, make_run, measure, split_batch

SIZES = [(64, 96), (32, 64)]


@pytest.mark.parametrize("work", ["forward", "train"])
def test_candidates_work_on_the_same_images(
    work: str, detectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragged, "_SMALL", [(32, 32)])
    seen: dict[str, list[list[tuple[int, ...]]]] = {name: [] for name in NAMES}
    detectors = {
        name: replace(
            detectors[name],
            predict=seen_by(detectors[name].predict, seen[name]),
            losses=seen_by(detectors[name].losses, seen[name]),
        )
        for name in NAMES
    }
    shapes = [(3, *size) for size in SIZES]
    for candidate, batches in zip(
        CANDIDATES, ([shapes], [[shape] for shape in shapes], [shapes]), strict=True
    ):
        calls = seen[ragged.model_of(candidate)]
        run = make_run(detectors, candidate, work, SIZES)
        assert calls == [[(3, 32, 32)]]
        calls.clear()
        run()
        assert calls == batches
        calls.clear()


def seen_by(function: Any, calls: list[list[tuple[int, ...]]]) -> Any:
    """The function, with the shapes of its images noted."""

    def call(images: Any, *rest: Any) -> Any:
        calls.append([tuple(image.shape) for image in images])
        return function(images, *rest)

    return call


def test_a_split_batch_has_the_same_images_and_objects(detectors) -> None:
    detector = detectors["swin_dense"]
    ((images, targets),) = split_batch(SIZES, detector, is_whole=True)
    alone = split_batch(SIZES, detector, is_whole=False)
    assert [len(batch[0]) for batch in alone] == [1, 1]
    for image, target, ([other_image], [other_target]) in zip(images, targets, alone, strict=True):
        assert image.equal(other_image)
        assert target["boxes"].equal(other_target["boxes"])


def test_a_model_without_room_is_not_timed(detectors, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"swin_dense": 900.0, "torchvision": None}
    asked: list[list[str]] = []

    def ask(script: str, flags: list[object], **limits: float) -> float | None:
        asked.append([str(flag) for flag in flags])
        assert limits["max_seconds"] == 7.0
        return answers[str(flags[1])]

    monkeypatch.setattr(ragged, "make_detectors", lambda device: detectors)
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
