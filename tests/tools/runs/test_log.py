"""The log file: lines, dropped later lines, JSON without nan."""

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from swin_dense.tools.files import finite_or_none
from swin_dense.tools.runs.log import FIGURES, LOG_FILE, RunLog, clock, find_damaged_lines, read_log


def test_steps_and_metrics_become_lines_and_tensorboard_files(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.start(0, 10)
        log.waited(0.5, num_images=8)
        log.step(2, {"loss": 1.5, "loss_cls": 1.5}, lr=0.1)
        log.metrics(2, {"bbox/AP": 0.25})
    first, second = read_log(tmp_path)
    assert first["step"] == 2
    assert first["loss"] == 1.5
    assert first["seconds_waiting_for_data"] == pytest.approx(0.25)
    assert second == {"step": 2, "metrics": {"bbox/AP": 0.25}}
    assert list((tmp_path / "tensorboard").iterdir())
    assert first.keys() - {"loss_cls"} == set(FIGURES)
    assert first["rate"] == 0.1  # the learning rate, under the name that readers of logs know


def test_an_evaluation_between_two_lines_leaves_the_figures_per_step_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    with RunLog(tmp_path) as log:
        log.start(0, 100)
        now = 100.0  # an evaluation after step 6, which took most of this
        log.metrics(6, {"mIoU": 0.5})
        for _ in range(4):
            now += 2.0
            log.waited(0.5, num_images=8)
        log.step(10, {"loss": 1.0}, lr=0.1)
    line = read_log(tmp_path)[-1]
    assert line["seconds_per_step"] == pytest.approx(2.0)
    assert line["images_per_second"] == pytest.approx(4.0)
    assert line["seconds_waiting_for_data"] == pytest.approx(0.5)
    assert line["seconds_left"] == pytest.approx(180.0)


def test_continuing_drops_later_and_broken_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": step / 10}) for step in (10, 20, 30)]
    broken = ['{"step": 3', "[]", '{"loss": 1}']
    (tmp_path / LOG_FILE).write_text("\n".join([lines[0], *broken, *lines[1:]]))
    assert find_damaged_lines(tmp_path) == [2, 3, 4]
    assert [line["step"] for line in read_log(tmp_path)] == [10, 20, 30]
    with RunLog(tmp_path, start_step=20) as log:
        log.metrics(20, {"mIoU": 0.5})
    assert [line["step"] for line in read_log(tmp_path)] == [10, 20, 20]


def test_pictures_go_to_tensorboard(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.picture(3, "predictions/1", np.zeros((4, 6, 3), np.uint8))
    reader = EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    (image,) = reader.Images("predictions/1")
    assert (image.step, image.width, image.height) == (3, 6, 4)
    with RunLog(None) as log:
        log.picture(3, "predictions/1", np.zeros((4, 6, 3), np.uint8))


def test_other_processes_are_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, is_main=False) as log:
        log.start(0, 1)
        log.step(1, {"loss": 1.0}, lr=0.1)
        log.metrics(1, {"mIoU": 0.5})
        log.note("hello")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_progress_goes_to_stderr_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(None) as log:
        log.start(0, 4)
        log.step(2, {"loss": 1.25}, lr=0.1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 2/4  loss 1.2500" in captured.err
    assert "left" in captured.err


def test_a_folder_without_a_log_has_no_lines(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (125.4, "2:05"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_nan_and_inf_become_null() -> None:
    content = {"a": [1.0, float("nan")], "b": {"c": float("inf"), "d": "x"}}
    assert finite_or_none(content) == {"a": [1.0, None], "b": {"c": None, "d": "x"}}


def test_scores_are_printed_in_percent_and_stored_as_fractions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(tmp_path) as log:
        log.metrics(
            7,
            {"bbox/AP": 0.4368, "bbox/AP50": float("nan"), "segm/AP": -1.0},
            names={"bbox/AP": "box AP", "bbox/AP50": "box AP50", "segm/AP": "mask AP"}.__getitem__,
        )
    dash = "\N{EN DASH}"
    assert f"step 7  box AP 43.7  box AP50 {dash}  mask AP {dash}" in capsys.readouterr().err
    assert read_log(tmp_path)[0]["metrics"]["bbox/AP"] == 0.4368
