"""The seam between the commands and the tasks: the `Task` protocol; each task has its file here.

The commands (`train`, `evaluate`, `predict`, `report`, ...) and the loops work for any task through
it: a task builds data sets, makes a batch's targets, scores results and draws them, names its
scores, and brings the flags that it alone knows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from swin_dense.tools.recipes.data import DataConfig
from swin_dense.tools.task_flags import Inference
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    ImageScores,
    PrecisionCurves,
    ScoreTable,
    ThresholdScores,
)

Sample = dict[str, Any]  # the typed dicts of `datasets.samples`

# Given the task's kind of model, resized images `(3, h, w)` uint8 and the sizes of their originals:
# results in the frame of the originals.
Predict = Callable[[Any, Sequence[Tensor], Sequence[tuple[int, int]]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """An `Inference` that fits its task.

    Attributes:
        scale: of the resize that images need before, as the task's own `resize` takes it: LONG
            SHORT side, px, or what else a task needs to know; None: none.
        predict: gives the results.
        batch_size: images predicted together in the evaluations of a training.
    """

    scale: Any
    predict: Predict
    batch_size: int = 1


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
        thresholds: what each score threshold would give; None where results have no scores.
        write_results: writes what was found into a file; None where a task has no such file.
    """

    metrics: dict[str, Any]
    headline: dict[str, float]
    tables: list[Table]
    classes: ClassScores
    confusion: Confusion
    images: ImageScores
    curves: Mapping[str, PrecisionCurves] = field(default_factory=dict)
    thresholds: ThresholdScores | None = None
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
    """One kind of model and data set; models are of the task's kind, data sets too.

    Attributes:
        name: as the `task` of models and of data configs.
        data_type: config of its data sets in recipes; it names the task.
        evaluation_flags: frozen dataclass of its flags of `evaluate`, an `Inference`. A value that
            cannot be raises ValueError in `__post_init__`.
        prediction_flags: the same for `predict`.
        annotation_unit: of what samples are annotated with, a plural: "objects".
    """

    name: str
    data_type: type[DataConfig]
    evaluation_flags: type[Inference]
    prediction_flags: type[Inference]
    annotation_unit: str

    # Data

    def data_at(self, root: Path, *, split: str | None, flags: Any) -> Any:
        """Data config of a folder to evaluate on; no split is the task's default.

        `flags` are `evaluation_flags`.
        """

    def training_data(self, data: Any, *, seed: int) -> Any:
        """Data set of a recipe's `data`, augmented.

        A data set has a length, items that are samples, `class_names` and `image_ids`.
        """

    def evaluation_data(self, data: Any, *, scale: Any, model: Any = None) -> Any:
        """Data set of a recipe's `data` as it is, resized by the `scale` of a predictor.

        The model names the classes where the data does not.
        """

    def aspect_ratios(self, dataset: Any) -> Sequence[float]:
        """Width / height of each sample; wide and high ones are not batched together."""

    def class_counts(self, sample: Sample, num_classes: int) -> NDArray[np.int64]:
        """`(K,)`: how much of each class a training sample is annotated with."""

    # Model

    def create_model(self, config: Any, dataset: Any) -> Any:
        """Whole model with random weights, with the classes of the data set."""

    def check_classes(self, model: Any, dataset: Any) -> None:
        """Refuse a data set whose classes are not the model's (ValueError)."""

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: Any
    ) -> tuple[Any, Any]:
        """Images and targets of a training batch of a recipe's `data`, on the device."""

    # Results

    def predictor(self, flags: Any, model: Any) -> Predictor:
        """The way to predict by flags of either kind; ValueError where they do not fit together.

        The model may bring what the flags leave open.
        """

    def resize(self, image: Any, scale: Any) -> Tensor:
        """`(H, W, 3)` uint8 array to the `(3, h, w)` uint8 tensor that a model takes."""

    def evaluate(
        self,
        model: Any,
        dataset: Any,
        predictions: Iterable[tuple[list[Sample], list[Any]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """Score predictions of every sample; `gather` joins those of several processes."""

    def write_results(self, evaluation: Evaluation, flags: Any) -> None:
        """Write the files that `evaluation_flags` ask for besides the scores."""

    def writer(self, out: Path, model: Any, flags: Any) -> PredictionWriter:
        """Writer of predictions into a folder, by `prediction_flags`."""

    # Words and pictures

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """The scores of `Evaluation.metrics` that stand for all classes, as a page shows them."""

    def score_name(self, name: str) -> str:
        """Name on a page for a score of `Evaluation.headline`."""

    def draw_beside_truth(self, dataset: Any, sample: Sample, result: Any, model: Any) -> Picture:
        """Ground truth and prediction of a sample, side by side."""

    def draw_sample(self, dataset: Any, sample: Sample) -> Picture:
        """A training sample with its annotations, as the model is given it."""
