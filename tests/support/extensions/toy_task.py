"""A task from outside: counting the objects of an image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor, nn

import swin_dense as sd
from extensions.toy_backbone import ToyConvNetConfig
from extensions.toy_head import QUERIES_RECIPE
from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.data import DataConfig
from swin_dense.tools.task_flags import Inference
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    ScoredImage,
    ScoreTable,
    rank_images,
)
from swin_dense.tools.tasks.task import Evaluation, Predictor


@dataclass(frozen=True, kw_only=True)
class CountingData(DataConfig):
    """Images of a COCO data set; the label is the number of objects, from 0 to "4 or more"."""

    task: ClassVar[str] = "counting"

    root: Path = Path("data/coco")
    train_split: str = "train2017"
    val_split: str = "val2017"
    scale: tuple[int, int] = (64, 64)


class CountingDataset(torch.utils.data.Dataset):
    """Samples of `CocoDetection` with a label for the whole image."""

    class_names = ("0", "1", "2", "3", "4 or more")

    def __init__(self, data: CountingData, split: str, scale: tuple[int, int]) -> None:
        self._coco = CocoDetection(data.root, split, transforms=detection_eval(scale))
        self.image_ids = self._coco.image_ids

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        sample = self._coco[key]
        sample["label"] = min(len(sample["labels"]), len(self.class_names) - 1)
        return sample


@dataclass(frozen=True, kw_only=True)
class ToyCounterConfig(sd.heads.ModelConfig):
    """The mean of the coarsest level, and a linear layer."""

    num_classes: int = 5


class ToyCounter(sd.heads.Model):
    """Scores of each number of objects."""

    task: ClassVar[str] = "counting"
    class_layers: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(self, config: ToyCounterConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.classifier = nn.Linear(self.pyramid.channels[-1], config.num_classes)

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[int]
    ) -> dict[str, Tensor]:
        logits = self._classify(images)
        return {"loss": F.cross_entropy(logits, torch.tensor(targets, device=logits.device))}

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[int]:
        with in_eval_mode(self):
            return self._classify(images).argmax(1).tolist()

    def _classify(self, images: Sequence[Tensor] | ImageBatch) -> Tensor:
        if not isinstance(images, ImageBatch):
            images = batch_images(images, self.classifier.weight.device)
        maps = self.backbone(images.pixels)[-1]  # (B, C, H/32, W/32)
        return self.classifier(maps.mean((2, 3))).float()  # (B, K)


class CountingTask:
    """Everything that the commands must know of counting; the words of `tasks.task.Task`."""

    name = "counting"
    data_type: type[DataConfig] = CountingData
    evaluation_flags: type[Inference] = Inference
    prediction_flags: type[Inference] = Inference
    annotation_unit = "counts"

    # Data

    def data_at(self, root: Path, *, split: str | None, flags: Inference) -> CountingData:
        data = CountingData(root=root)
        return data if split is None else replace(data, val_split=split)

    def training_data(self, data: CountingData, *, seed: int) -> CountingDataset:
        return CountingDataset(data, data.train_split, data.scale)

    def evaluation_data(
        self, data: CountingData, *, scale: tuple[int, int] | None, model: Any = None
    ) -> CountingDataset:
        return CountingDataset(data, data.val_split, scale or data.scale)

    def aspect_ratios(self, dataset: CountingDataset) -> Sequence[float]:
        return [1.0] * len(dataset)

    def class_counts(self, sample: dict[str, Any], num_classes: int) -> np.ndarray:
        return np.bincount([sample["label"]], minlength=num_classes)

    # Model

    def create_model(self, config: ToyCounterConfig, dataset: CountingDataset) -> ToyCounter:
        return sd.heads.create_model(config, class_names=dataset.class_names)

    def check_classes(self, model: ToyCounter, dataset: CountingDataset) -> None:
        if model.config.num_classes != len(dataset.class_names):
            raise ValueError(f"the model must count to 4, got {model.config.num_classes} classes")

    def prepare(
        self, samples: Sequence[dict[str, Any]], device: torch.device, *, data: CountingData
    ) -> tuple[ImageBatch, list[int]]:
        images = batch_images([sample["image"] for sample in samples], device)
        return images, [sample["label"] for sample in samples]

    # Results

    def predictor(self, flags: Inference, model: ToyCounter) -> Predictor:
        return Predictor(
            scale=flags.scale or CountingData().scale,
            predict=lambda model, images, sizes: model.predict(images),
        )

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        width, height = scale or CountingData().scale
        return torch.from_numpy(cv2.resize(image, (width, height))).permute(2, 0, 1)

    def evaluate(
        self,
        model: ToyCounter,
        dataset: CountingDataset,
        predictions: Iterable[tuple[list[dict[str, Any]], list[int]]],
        *,
        gather: Callable[[list[Any]], list[Any]] | None = None,
    ) -> Evaluation:
        found = [
            (sample["image_id"], sample["label"], result)
            for samples, results in predictions
            for sample, result in zip(samples, results, strict=True)
        ]
        if gather is not None:
            found = gather(found)
        names = dataset.class_names
        matrix = np.zeros((len(names), len(names)), np.int64)
        for _, label, result in found:
            matrix[label, result] += 1
        counts = matrix.sum(1)
        exact = [matrix[k, k] / counts[k] if counts[k] else None for k in range(len(names))]
        accuracy = float(matrix.trace() / matrix.sum())
        table = Table("", "score")
        table.add_row("accuracy", f"{accuracy:.4f}")
        place = {image_id: i for i, image_id in enumerate(dataset.image_ids)}
        return Evaluation(
            metrics={"accuracy": accuracy},
            headline={"accuracy": accuracy},
            tables=[table],
            classes=ClassScores(
                names=names, scores={"accuracy": exact}, counts=counts.tolist(), unit="images"
            ),
            confusion=Confusion(names=names, counts=matrix, unit="images", rule="Whole images."),
            images=rank_images(
                [ScoredImage(place[i], i, float(a == b)) for i, a, b in found],
                lambda image: self._picture(dataset[image.place]["image"]),
                rule="1 where the number is right, else 0",
            ),
        )

    def write_results(self, evaluation: Evaluation, flags: Inference) -> None:
        """There is no file of results besides the scores."""

    def writer(self, out: Path, model: ToyCounter, flags: Inference) -> "CountWriter":
        return CountWriter(out / "counts.csv", model)

    # Words and pictures

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        return ScoreTable(columns=("score",), rows={"accuracy": [metrics["accuracy"]]})

    def score_name(self, name: str) -> str:
        return name

    def draw_beside_truth(
        self, dataset: CountingDataset, sample: dict[str, Any], result: int, model: ToyCounter
    ) -> np.ndarray:
        return self._picture(sample["image"])

    def draw_sample(self, dataset: CountingDataset, sample: dict[str, Any]) -> np.ndarray:
        return self._picture(sample["image"])

    def _picture(self, image: Tensor) -> np.ndarray:
        return image.permute(1, 2, 0).cpu().numpy()


class CountWriter:
    """Writes the number of objects of each image as a line of a CSV file."""

    def __init__(self, path: Path, model: ToyCounter) -> None:
        self._path, self._names = path, model.class_names
        self._lines: list[str] = []

    def add(self, name: str, image: Tensor, result: int) -> np.ndarray:
        self._lines.append(f"{name},{self._names[result]}\n")
        return image.permute(1, 2, 0).cpu().numpy()

    def close(self) -> None:
        self._path.write_text("".join(self._lines))


COUNTER_SPEC = sd.heads.ModelSpec(
    name="toy_counter",
    config=ToyCounterConfig,
    model=ToyCounter,
    variants={},
    fits=lambda state: "classifier.weight" in state and "queries" not in state,
    read_config=lambda state, released: replace(
        released, num_classes=len(state["classifier.weight"])
    ),
)
COUNTING_RECIPE = replace(
    QUERIES_RECIPE,
    name="toy_counting",
    model=ToyCounterConfig(backbone=ToyConvNetConfig()),
    data=CountingData(),
)
