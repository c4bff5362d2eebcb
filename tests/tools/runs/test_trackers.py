"""Experiment trackers: what they are given, offline and resumed, and that no failure gets out."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from swin_dense.tools.runs.log import RunLog, read_log
from swin_dense.tools.runs.trackers import TRACKER_FILE, RunTracker, flatten_config


class FakeTracker(GeneralTracker):
    """Notes what it is given; fails where `fault` says so."""

    name = "fake"
    requires_logging_directory = False
    made: "ClassVar[list[FakeTracker]]"
    fault: ClassVar[Callable[["FakeTracker", str], None]]

    def __init__(self, project: str, *places: str, **flags: Any) -> None:
        super().__init__()
        self.project, self.places, self.flags = project, places, flags
        self.calls: list[tuple[str, Any, Any]] = []
        self.made.append(self)
        number = len(self.made)
        self.run = SimpleNamespace(
            id=f"id {number}",
            hash=f"id {number}",
            info=SimpleNamespace(run_id=f"id {number}"),
            get_key=lambda: f"id {number}",
            log_image=lambda pixels, name, step: self._note("log_images", {name: pixels}, step),
        )

    @property
    def tracker(self) -> Any:
        return self.run

    def start(self) -> None:
        self._note("start", None, None)

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._note("config", values, None)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self._note("log", values, step)

    def log_images(self, values: dict[str, Any], step: int | None = None) -> None:
        self._note("log_images", values, step)

    def finish(self) -> None:
        self._note("finish", None, None)

    def _note(self, call: str, values: Any, step: int | None) -> None:
        torch.rand(1)
        np.random.rand()
        type(self).fault(self, call)
        self.calls.append((call, values, step))


NAMES = ("wandb", "mlflow", "comet_ml", "aim")


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[FakeTracker]]:
    """The fakes that are made, in the place of accelerate's trackers; nobody is logged in."""
    PartialState(cpu=True)
    made: list[FakeTracker] = []
    monkeypatch.setattr(FakeTracker, "made", made, raising=False)
    monkeypatch.setattr(FakeTracker, "fault", lambda tracker, call: None, raising=False)
    for name in NAMES:
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, name, FakeTracker)
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "COMET_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    mlflow = ModuleType("mlflow")
    mlflow.__dict__.update(
        is_tracking_uri_set=lambda: False,
        set_tracking_uri=lambda place: mlflow.__dict__.update(place=place),
        get_tracking_uri=lambda: mlflow.__dict__["place"],
        log_image=lambda pixels, key, step: made[-1]._note("log_images", {key: pixels}, step),
    )
    comet = ModuleType("comet_ml")
    comet.__dict__.update(get_config=lambda key: None, ExperimentConfig=dict)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "comet_ml", comet)
    yield made
    PartialState._reset_state()


def _fail(*calls: str) -> Callable[[FakeTracker, str], None]:
    def fault(tracker: FakeTracker, call: str) -> None:
        if call in calls:
            raise RuntimeError("the server\nis gone")

    return fault


CONFIG = {"name": "tiny", "data": {"root": "shapes"}, "optimizer": {"betas": [0.9, 0.999]}}


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_gets_the_recipe_figures_scores_and_pictures(
    name: str, made: list[FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    with RunLog(tmp_path / "run") as log:
        log.track(name, CONFIG)
        log.start(0, 2)
        log.step(2, {"loss": 1.5}, lr=0.1)
        log.picture(2, "predictions/1", pixels)
        log.metrics(2, {"bbox/AP": 0.25, "bbox/AP50": float("nan")})
    (tracker,) = made
    calls = [call for call, _, _ in tracker.calls]
    assert calls == ["start", "config", "log", "log_images", "log", "finish"]
    assert tracker.calls[1][1] == {
        "name": "tiny",
        "data.root": "shapes",
        "optimizer.betas": [0.9, 0.999],
    }
    _, figures, step = tracker.calls[2]
    assert (figures["training/loss"], figures["training/rate"], step) == (1.5, 0.1, 2)
    assert "training/step" not in figures
    _, pictures, step = tracker.calls[3]
    assert (list(pictures), step) == (["predictions/1"], 2)
    assert tracker.calls[4] == ("log", {"metrics/bbox/AP": 0.25}, 2)
    assert f"tracked by {name}, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "flag"),
    [("wandb", "id"), ("mlflow", "run_id"), ("comet_ml", "experiment_key"), ("aim", "run_hash")],
)
def test_a_resumed_run_goes_on_in_the_tracker(
    name: str, flag: str, made: list[FakeTracker], tmp_path: Path
) -> None:
    for is_resumed in (False, True, False):
        with RunLog(tmp_path / "run") as log:
            log.track(name, CONFIG, is_resumed=is_resumed)
    first, second, third = made
    assert first.flags.get(flag) is None
    assert second.flags[flag] == "id 1"
    assert [call for call, _, _ in second.calls] == ["start", "finish"]  # not the recipe again
    assert third.flags.get(flag) is None
    stored = json.loads((tmp_path / "run" / TRACKER_FILE).read_text())
    assert stored == {"tracker": name, "id": "id 3"}


def test_a_run_of_the_tracker_that_is_gone_is_begun_anew(
    made: list[FakeTracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TRACKER_FILE).write_text('{"tracker": "wandb", "id": "old"}')

    def fault(tracker: FakeTracker, call: str) -> None:
        if tracker.flags.get("id") == "old":
            raise RuntimeError("no such run")

    monkeypatch.setattr(FakeTracker, "fault", fault)
    notes: list[str] = []
    RunTracker("wandb", tmp_path, CONFIG, note=notes.append, is_resumed=True).log({"loss": 1.0}, 1)
    assert notes[0] == (
        "--track wandb: its run old could not be continued (RuntimeError: no such run); "
        "a new one is begun"
    )
    assert [call for call, _, _ in made[1].calls] == ["start", "config", "log"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("start", "no run could be begun"),
        ("config", "no run could be begun"),
        ("log", "figures could not be logged"),
        ("log_images", "a picture could not be logged"),
        ("finish", "it could not be closed"),
    ],
)
def test_a_failure_is_noted_once_and_the_log_goes_on(
    call: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeTracker, "fault", _fail(call))
    with RunLog(tmp_path) as log:
        log.track("aim", CONFIG)
        for step in (1, 2):
            log.metrics(step, {"mIoU": 0.5})
            log.picture(step, "predictions/1", np.zeros((4, 6, 3), np.uint8))
    note = f"--track aim: {said} (RuntimeError: the server); the training goes on without it"
    assert capsys.readouterr().err.count(note) == 1
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2]


def test_a_tracker_leaves_the_random_numbers_of_the_training_alone(tmp_path: Path) -> None:
    def draw(name: str | None) -> tuple[float, float]:
        torch.manual_seed(0)
        np.random.seed(0)
        with RunLog(tmp_path / str(name)) as log:
            if name is not None:
                log.track(name, CONFIG)
            log.metrics(1, {"mIoU": 0.5})
        return float(torch.rand(1)), float(np.random.rand())

    assert draw("wandb") == draw(None)


def test_wandb_is_offline_without_a_login(
    made: list[FakeTracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flags() -> Mapping[str, Any]:
        RunTracker("wandb", tmp_path, CONFIG, note=str)
        return made[-1].flags

    assert flags()["mode"] == "offline"
    assert flags()["dir"] == str(tmp_path)
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert "mode" not in flags()
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert "mode" not in flags()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_MODE", "disabled")  # the user's own choice
    assert "mode" not in flags()


def test_comet_is_offline_without_a_key(
    made: list[FakeTracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunTracker("comet_ml", tmp_path, CONFIG, note=str)
    assert made[0].flags["online"] is False
    assert made[0].flags["experiment_config"]["offline_directory"] == str(tmp_path / "comet")
    monkeypatch.setenv("COMET_API_KEY", "secret")
    RunTracker("comet_ml", tmp_path, CONFIG, note=str)
    assert "online" not in made[1].flags
    assert "offline_directory" not in made[1].flags["experiment_config"]


def test_stores_of_many_runs_lie_beside_the_run(made: list[FakeTracker], tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "run").mkdir()
    RunTracker("aim", tmp_path / "run", CONFIG, note=notes.append)
    assert (made[0].project, made[0].places) == ("run", (str(tmp_path),))
    RunTracker("mlflow", tmp_path / "run", CONFIG, note=notes.append)
    assert str(tmp_path / "mlruns") in notes[1] or str(tmp_path / "mlflow.db") in notes[1]


def test_other_processes_do_not_track(made: list[FakeTracker], tmp_path: Path) -> None:
    with RunLog(tmp_path, is_main=False) as log:
        log.track("wandb", CONFIG)
    assert not made


def test_a_config_is_flattened_to_the_names_of_flags() -> None:
    nested = {"steps": 3, "model": {"backbone": {"depths": [2, 2]}, "fpn_channels": 8}}
    assert flatten_config(nested) == {
        "steps": 3,
        "model.backbone.depths": [2, 2],
        "model.fpn_channels": 8,
    }
