"""A run in an experiment tracker beside TensorBoard: wandb, mlflow, comet_ml or aim.

accelerate's trackers do the work. A tracker gets the figures of the log, the recipe and pictures of
each evaluation. Where it has no login and no server it writes to the disk. Whatever fails in it is
noted once, and the training goes on without it.
"""

import importlib
import importlib.util
import json
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from swin_dense.tools.files import write_json
from swin_dense.tools.runs.checkpoints import random_state, restore_random_state
from swin_dense.tools.tasks.drawing import Picture

TRACKER_FILE = "tracker.json"  # name of the tracker and its id of the run, for `--resume`
_PROJECT = "swin_dense"
_LONGEST_REASON = 300
_GOES_ON = "the training goes on without it"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One tracker's ways.

    Attributes:
        create: accelerate's tracker, of its class, the run's folder and the tracker's id of a run
            to be continued (None: a new one); and where the figures are, in words.
        find_id: its id of the run that it has begun.
        add_picture: shows `(H, W, 3)` RGB under a name at a step.
    """

    create: Callable[[Any, Path, str | None], tuple[Any, str]]
    find_id: Callable[[Any], str]
    add_picture: Callable[[Any, str, Picture, int], object]


class RunTracker:
    """A run in a tracker, from the main process only; nothing that it raises gets out.

    Args:
        name: "wandb", "mlflow", "comet_ml" or "aim".
        run: the run's folder.
        config: plain values that describe the run, nested.
        note: where a line about the tracker goes.
        is_resumed: continue the tracker's run of before, if there is one.
    """

    def __init__(
        self,
        name: str,
        run: Path,
        config: Mapping[str, Any],
        *,
        note: Callable[[str], object],
        is_resumed: bool = False,
    ) -> None:
        self._name = name
        self._kind = _KINDS[name]
        self._note = note
        self._tracker: Any = None
        stored = _read_id(run, name) if is_resumed else None
        if stored is not None:
            self._start(run, config, stored)
        if self._tracker is None:
            self._start(run, config, None)

    def log(self, figures: Mapping[str, Any], step: int) -> None:
        """Give it figures of a step; those that are no numbers are left out."""
        numbers = {name: value for name, value in figures.items() if value is not None}
        with self._guard("figures could not be logged"):
            if self._tracker is not None and numbers:
                self._tracker.log(numbers, step=step)

    def picture(self, step: int, name: str, pixels: Picture) -> None:
        """Show a picture, `(H, W, 3)` RGB."""
        with self._guard("a picture could not be logged"):
            if self._tracker is not None:
                self._kind.add_picture(self._tracker, name, pixels, step)

    def finish(self) -> None:
        """Let it write what it still holds."""
        with self._guard("it could not be closed"):
            if self._tracker is not None:
                self._tracker.finish()

    def _start(self, run: Path, config: Mapping[str, Any], stored: str | None) -> None:
        """Begin a run in the tracker, or continue one."""
        fault, rest = "no run could be begun", _GOES_ON
        if stored is not None:
            fault, rest = f"its run {stored} could not be continued", "a new one is begun"
        with self._guard(fault, rest=rest):
            tracker, place = self._kind.create(LOGGER_TYPE_TO_CLASS[self._name], run, stored)
            tracker.start()
            if stored is None:  # some refuse other values later, such as another --data.root
                tracker.store_init_configuration(flatten_config(config))
            identity = self._kind.find_id(tracker)
            write_json(run / TRACKER_FILE, {"tracker": self._name, "id": identity})
            self._tracker = tracker
            self._note(f"tracked by {self._name}, {place}")

    @contextmanager
    def _guard(self, fault: str, *, rest: str = _GOES_ON) -> Iterator[None]:
        """Keep errors and the random numbers of a tracker from the training."""
        random = random_state()
        try:
            yield
        except Exception as error:  # of any kind: a training is worth more than its tracker
            self._tracker = None
            lines = str(error).strip().splitlines() or ["no reason given"]
            reason = f"{type(error).__name__}: {lines[0][:_LONGEST_REASON]}"
            self._note(f"--track {self._name}: {fault} ({reason}); {rest}")
        finally:
            restore_random_state(random)


def flatten_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by the names of their flags: `{"data.root": "my_data", ...}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten_config(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _read_id(run: Path, name: str) -> str | None:
    """The id that this tracker gave the run before; None where there is none."""
    try:
        stored = json.loads((run / TRACKER_FILE).read_text(encoding="utf-8"))
        return str(stored["id"]) if stored["tracker"] == name else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --------------------------------------------------------------------------------- wandb


def _create_wandb(kind: Any, run: Path, stored: str | None) -> tuple[Any, str]:
    flags: dict[str, Any] = {"dir": str(run), "name": run.resolve().name}
    if stored is not None:
        flags |= {"id": stored, "resume": "allow"}
    if "WANDB_MODE" not in os.environ and not _has_wandb_login():
        flags["mode"] = "offline"
    is_offline = os.environ.get("WANDB_MODE", flags.get("mode")) == "offline"
    place = f"offline, in {run / 'wandb'} (`wandb sync` sends it)" if is_offline else "online"
    return kind(os.environ.get("WANDB_PROJECT", _PROJECT), **flags), place


def _has_wandb_login() -> bool:
    """Tell whether `wandb login` was called here, or a key is in the environment; none is asked."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    host = server.rpartition("://")[2].partition("/")[0].partition(":")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _show_in_wandb(tracker: Any, name: str, pixels: Picture, step: int) -> None:
    tracker.log_images({name: [pixels]}, step=step)


# -------------------------------------------------------------------------------- mlflow


def _create_mlflow(kind: Any, run: Path, stored: str | None) -> tuple[Any, str]:
    mlflow = importlib.import_module("mlflow")
    # Else a server that is not there holds the training for many minutes at each line of the log.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    artifacts = None
    if not mlflow.is_tracking_uri_set():
        folder = run.resolve().parent  # one store for the runs that lie beside each other
        if importlib.util.find_spec("sqlalchemy") is not None:
            artifacts = (folder / "mlruns").as_uri()
            mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        else:  # mlflow-skinny
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            mlflow.set_tracking_uri((folder / "mlruns").as_uri())
    tracker = kind(_PROJECT, run_id=stored, run_name=run.resolve().name, logging_dir=artifacts)
    return tracker, f"in {mlflow.get_tracking_uri()}"


def _show_in_mlflow(tracker: Any, name: str, pixels: Picture, step: int) -> None:
    del tracker
    importlib.import_module("mlflow").log_image(pixels, key=name, step=step)


# ------------------------------------------------------------------------------ comet_ml


def _create_comet(kind: Any, run: Path, stored: str | None) -> tuple[Any, str]:
    comet = importlib.import_module("comet_ml")
    config = {"name": run.resolve().name}
    flags: dict[str, Any] = {}
    if stored is not None:
        flags |= {"experiment_key": stored, "mode": "get_or_create"}
    place = "online"
    if not (os.environ.get("COMET_API_KEY") or comet.get_config("comet.api_key")):
        config["offline_directory"] = str(run / "comet")
        flags["online"] = False
        place = f"offline, in {run / 'comet'} (`comet upload` sends it)"
    flags["experiment_config"] = comet.ExperimentConfig(**config)
    return kind(os.environ.get("COMET_PROJECT_NAME", _PROJECT), **flags), place


def _show_in_comet(tracker: Any, name: str, pixels: Picture, step: int) -> None:
    tracker.tracker.log_image(pixels, name=name, step=step)


# ----------------------------------------------------------------------------------- aim


def _create_aim(kind: Any, run: Path, stored: str | None) -> tuple[Any, str]:
    folder = run.resolve().parent  # one repository for the runs that lie beside each other
    tracker = kind(run.resolve().name, str(folder), run_hash=stored, experiment=_PROJECT)
    return tracker, f"in {folder / '.aim'}"


def _show_in_aim(tracker: Any, name: str, pixels: Picture, step: int) -> None:
    tracker.log_images({name: pixels}, step=step)


_KINDS = {
    "wandb": _Kind(
        create=_create_wandb,
        find_id=lambda tracker: tracker.tracker.id,
        add_picture=_show_in_wandb,
    ),
    "mlflow": _Kind(
        create=_create_mlflow,
        find_id=lambda tracker: tracker.tracker.info.run_id,
        add_picture=_show_in_mlflow,
    ),
    "comet_ml": _Kind(
        create=_create_comet,
        find_id=lambda tracker: tracker.tracker.get_key(),
        add_picture=_show_in_comet,
    ),
    "aim": _Kind(
        create=_create_aim,
        find_id=lambda tracker: tracker.tracker.hash,
        add_picture=_show_in_aim,
    ),
}
