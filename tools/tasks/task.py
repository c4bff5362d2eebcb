"""What the commands must know of a task; `detection.py` and `segmentation.py` hold one such object.

The commands (`train`, `evaluate`, `predict`, `demo`) and the loops work for any task through this
seam: it builds data sets, makes a batch's targets, scores results and draws them.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from rich.table import Table
from torch import Tensor

from swin_dense.heads.whole_model import Model
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import ClassScores, Confusion, ImageScores, PrecisionCurves

_MODULES = {
    "detection": "swin_dense.tools.tasks.detection",
    "segmentation": "swin_dense.tools.tasks.segmentation",
}

Sample = dict[str, Any]  # the typed dicts of `datasets.samples`

# Given the task's kind of model, resized images `(3, h, w)` uint8 and the sizes of their originals:
# results in the frame of the originals.
Predict = Callable[[Any, Sequence[Tensor], Sequence[tuple[int, int]]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a model is run over images; flags of `evaluate` and `predict`."""

    scale: tuple[int, int] | None = None
    """LONG SHORT side of the keep-ratio resize, px; None: the task's (1333 800 for detection,
    2048 512 for segmentation)."""
    mode: Literal["whole", "slide", "ms_flip"] | None = None
    """Segmentation: the image in one piece (None: so), in windows, or at 0.5 to 1.75 times its
    own size, with mirror images (--scale has no effect then)."""
    crop: tuple[int, int] | None = None
    """HEIGHT WIDTH of the windows of --mode slide, px; None: 512 512."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal step of the windows, px; None: two thirds of --crop."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """An `Inference` that fits its task.

    Attributes:
        scale: LONG SHORT side of the resize that images need before, px; None: none.
        predict: gives the results.
    """

    scale: tuple[int, int] | None
    predict: Predict


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a model on a data set.

    Attributes:
        metrics: the machine-readable scores, exactly what `--json` writes.
        headline: the few scores that a log line and a report show, by name.
        tables: everything, to be read by people.
        classes: the scores of each class.
        confusion: which class was taken for which; agrees with `metrics`.
        images: the scores of single images, with pictures of some.
        curves: precision over recall, by what was found ("boxes", "masks"); none where results have
            no scores.
        write_results: writes what was found, as a COCO results file; None for segmentation.
    """

    metrics: dict[str, Any]
    headline: dict[str, float]
    tables: list[Table]
    classes: ClassScores
    confusion: Confusion
    images: ImageScores
    curves: Mapping[str, PrecisionCurves] = field(default_factory=dict)
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

    def data_at(self, root: Path, *, split: str | None, reduce_zero_label: bool) -> Any:
        """A recipe's `data` for a folder to evaluate on; no split is the task's own."""

    def predictor(self, inference: Inference) -> Predictor:
        """How to predict; raises ValueError where a flag is of another task or does not fit."""

    def training_data(self, data: Any, *, seed: int) -> Any:
        """Data set of a recipe's `data`, augmented."""

    def evaluation_data(
        self, data: Any, *, scale: tuple[int, int] | None, model: Model | None = None
    ) -> Any:
        """Data set of a recipe's `data` as it is, resized to LONG SHORT px keeping the ratio.

        The model names the classes where the data does not.
        """

    def aspect_ratios(self, dataset: Any) -> Sequence[float]:
        """Width / height of each sample; wide and high ones come in batches of their own."""

    def create_model(self, config: Any, dataset: Any) -> Model:
        """Whole model with random weights, with the classes of the data set."""

    def check_classes(self, model: Model, dataset: Any) -> None:
        """Refuse a data set whose classes are not the model's (ValueError)."""

    def resize(self, image: Any, scale: tuple[int, int] | None) -> Tensor:
        """`(H, W, 3)` uint8 array to the `(3, h, w)` uint8 tensor that a model takes."""

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: Any
    ) -> tuple[Any, Any]:
        """Images and targets of a training batch of a recipe's `data`, on the device."""

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

    def draw_sample(self, dataset: Any, sample: Sample) -> Picture:
        """A training sample with its annotations, as the model is given it."""

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
