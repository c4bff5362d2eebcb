"""What the commands must know of a task; `detection.py` holds one such object.

The commands (`train`, `evaluate`, `predict`, `demo`) and the loops work for any task through this
seam: it builds data sets, makes a batch's targets, scores results and draws them.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.table import Table
from torch import Tensor

from swin_dense.heads.models import Model
from swin_dense.tools.drawing import Picture
from swin_dense.tools.loading import Sample

_MODULES = {"detection": "swin_dense.tools.detection"}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a model on a data set.

    Attributes:
        metrics: the machine-readable scores, exactly what `--json` writes.
        headline: the few scores that a log line and a report show, by name.
        tables: everything, to be read by people.
        write_results: writes what was found, as a COCO results file; None for segmentation.
    """

    metrics: dict[str, Any]
    headline: dict[str, float]
    tables: list[Table]
    write_results: Callable[[Path], None] | None = None


class PredictionWriter(Protocol):
    """Writes what was found in images, one after the other."""

    def add(self, name: str, image: Tensor, result: Any) -> Picture:
        """Keep the result of an image `(3, H, W)` uint8 and return the picture that shows it."""

    def close(self) -> None:
        """Write what is written once."""


# Joins the lists of all processes; each gets the whole.
Gather = Callable[[list[Any]], list[Any]]


class Task(Protocol):
    """One kind of model and data set."""

    name: str
    default_split: str
    default_scale: tuple[int, int]

    def training_data(self, data: Any, *, seed: int) -> Any:
        """Data set of a recipe's `data`, augmented."""

    def evaluation_data(self, root: Path, *, split: str, scale: tuple[int, int]) -> Any:
        """Data set as it is, resized to LONG SHORT px keeping the ratio."""

    def aspect_ratios(self, dataset: Any) -> Sequence[float]:
        """Width / height of each sample; wide and high ones come in batches of their own."""

    def create_model(self, config: Any, dataset: Any) -> Model:
        """Whole model with random weights, with the classes of the data set."""

    def check_classes(self, model: Model, dataset: Any) -> None:
        """Refuse a data set whose classes are not the model's (ValueError)."""

    def resize(self, image: Any, scale: tuple[int, int]) -> Tensor:
        """`(H, W, 3)` uint8 array to the `(3, h, w)` uint8 tensor that a model takes."""

    def prepare(self, samples: Sequence[Sample], device: torch.device) -> tuple[Any, Any]:
        """Images and targets of a batch on the device."""

    def evaluate(
        self,
        model: Model,
        dataset: Any,
        predictions: Iterable[tuple[list[Sample], list[Any]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """Score predictions of every sample; `gather` joins those of several processes."""

    def draw_beside_truth(self, dataset: Any, sample: Sample, result: Any, model: Model) -> Picture:
        """Ground truth and prediction of a sample, side by side."""

    def writer(self, out: Path, model: Model, *, score_threshold: float) -> PredictionWriter:
        """Writer of predictions into a folder."""


def find_task(name: str) -> Task:
    """The task of that name, which a model's or a recipe's `task` gives.

    Raises:
        ValueError: there is none.
    """
    if name not in _MODULES:
        raise ValueError(f"unknown task {name!r}; choose one of {', '.join(_MODULES)}")
    return importlib.import_module(_MODULES[name]).TASK
