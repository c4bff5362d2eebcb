"""Code from outside adds a backbone, a head, a task, a command and a data format.

`docs/extending.md` shows the same code, piece by piece; a test holds the two together.
"""

import ast
import csv
import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import box_convert

import swin_dense as sd
from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoCategory, CocoFile
from swin_dense.datasets.formats.table import DETECTION_FORMATS, DetectionFormat
from swin_dense.datasets.images import read_image
from swin_dense.datasets.samples import Size
from swin_dense.datasets.shapes import write_shapes
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools import COMMANDS, cli, commands
from swin_dense.tools.commands.train import Run
from swin_dense.tools.recipes.data import DataConfig, DetectionData
from swin_dense.tools.recipes.optim import AdamWConfig, StepSchedule
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.task_flags import Inference
from swin_dense.tools.tasks.scores import (
    ClassScores,
    Confusion,
    ScoredImage,
    ScoreTable,
    rank_images,
)
from swin_dense.tools.tasks.table import TASKS
from swin_dense.tools.tasks.task import Evaluation, Predictor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


# A backbone


@dataclass(frozen=True, kw_only=True)
class ToyConvNetConfig(sd.BackboneConfig):
    """Strided convolutions, with twice the channels at each level."""

    kind: ClassVar[str] = "toy_conv_net"

    width: int = 8

    @property
    def title(self) -> str:
        return f"toy ConvNet of width {self.width}"

    def build(self) -> "ToyConvNet":
        return ToyConvNet(self)


class ToyConvNet(nn.Module):
    """Four levels; a convolution of 3 x 3 with stride 2 and padding 1 gives ceil(H / 2) rows."""

    def __init__(self, config: ToyConvNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = tuple(config.width * 2**level for level in range(4))
        self.strides = (4, 8, 16, 32)
        widths = (config.width, *self.channels)
        self.stem = nn.Conv2d(3, config.width, 3, stride=2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU())
            for before, after in pairwise(widths)
        )
        if config.frozen_stages >= 0:
            self.stem.requires_grad_(False)
        for stage in self.stages[: max(config.frozen_stages, 0)]:
            stage.requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = F.relu(self.stem(pixels))
        features = []
        for stage in self.stages:
            if self.config.gradient_checkpointing and self.training:
                maps = checkpoint(stage, maps, use_reentrant=False)
            else:
                maps = stage(maps)
            features.append(maps)
        return features

    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if name.endswith("bias")}

    def blocks(self) -> list[nn.Module]:
        return list(self.stages)


# A head


@dataclass(frozen=True, kw_only=True)
class ToyQueriesConfig(sd.heads.ModelConfig):
    """Learned queries that look at the coarsest level, one object each (after DETR, 2020)."""

    num_classes: int = 80
    num_queries: int = 12
    channels: int = 32


class ToyQueries(sd.heads.Model):
    """A class and a box for each query; the mask is the whole box."""

    task: ClassVar[str] = "detection"
    class_layers: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(self, config: ToyQueriesConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.projection = nn.Conv2d(self.pyramid.channels[-1], config.channels, 1)
        self.queries = nn.Parameter(torch.randn(config.num_queries, config.channels))
        self.attention = nn.MultiheadAttention(config.channels, 4, batch_first=True)
        self.classifier = nn.Linear(config.channels, config.num_classes + 1)  # background last
        self.box = nn.Linear(config.channels, 4)

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        batch = self._batch(images)
        logits, boxes = self._decode(batch)
        loss_cls, loss_bbox = [], []
        for image, target in enumerate(targets):
            gt_boxes, gt_labels = target["boxes"].to(boxes), target["labels"].to(boxes.device)
            gt_boxes = gt_boxes / _box_scale(batch.sizes[image]).to(boxes)
            cost = torch.cdist(boxes[image], gt_boxes, p=1)
            cost = cost - logits[image].softmax(1)[:, gt_labels]
            rows, columns = linear_sum_assignment(cost.detach().cpu())
            labels = torch.full((len(boxes[image]),), self.config.num_classes).to(gt_labels)
            labels[rows] = gt_labels[columns]
            loss_cls.append(F.cross_entropy(logits[image], labels))
            loss_bbox.append((boxes[image][rows] - gt_boxes[columns]).abs().sum() / len(labels))
        return {
            "loss_cls": torch.stack(loss_cls).mean(),
            "loss_bbox": torch.stack(loss_bbox).mean(),
        }

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[dict[str, Tensor]]:
        batch = self._batch(images)
        with in_eval_mode(self):
            all_logits, all_boxes = self._decode(batch)
        results = []
        for logits, boxes, size in zip(
            all_logits, all_boxes, original_sizes or batch.sizes, strict=True
        ):
            scores, labels = logits.softmax(1)[:, :-1].max(1)
            order = scores.argsort(descending=True)
            boxes = (boxes * _box_scale(size).to(boxes))[order]
            masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
                mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
            results.append(
                {"boxes": boxes, "scores": scores[order], "labels": labels[order], "masks": masks}
            )
        return results

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        if not isinstance(images, ImageBatch):
            images = batch_images(images, self.queries.device)
        return images.to(self.queries.device, self.queries.dtype)

    def _decode(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Logits `(B, Q, K + 1)` and boxes `(B, Q, 4)`, xyxy in shares of the image."""
        maps = self.projection(self.backbone(batch.pixels)[-1])  # (B, C, H/32, W/32)
        memory = maps.flatten(2).transpose(1, 2)  # (B, H/32*W/32, C)
        queries = self.queries.expand(len(batch), -1, -1)  # (B, Q, C)
        decoded = queries + self.attention(queries, memory, memory, need_weights=False)[0]
        boxes = box_convert(self.box(decoded).sigmoid(), "cxcywh", "xyxy")
        return self.classifier(decoded).float(), boxes.float()


def _box_scale(size: tuple[int, int]) -> Tensor:
    return torch.tensor([size[1], size[0], size[1], size[0]])


def has_queries(state: Mapping[str, Tensor]) -> bool:
    """True if weights under our names are those of a ToyQueries."""
    return "queries" in state


def read_queries_config(
    state: Mapping[str, Tensor], released: ToyQueriesConfig
) -> ToyQueriesConfig:
    """The sizes that the weights tell; all else is the released config's."""
    num_queries, channels = state["queries"].shape
    num_classes = len(state["classifier.weight"]) - 1
    return replace(released, num_classes=num_classes, num_queries=num_queries, channels=channels)


QUERIES_SPEC = sd.heads.ModelSpec(
    name="toy_queries",
    config=ToyQueriesConfig,
    model=ToyQueries,
    variants={"toy_queries_swin_t": ToyQueriesConfig(backbone=sd.SWIN_VARIANTS["swin_t"])},
    fits=has_queries,
    read_config=read_queries_config,
)
QUERIES_RECIPE = Recipe(
    name="toy_queries",
    source="not published",
    model=ToyQueriesConfig(backbone=ToyConvNetConfig()),
    data=DetectionData(scale=(64, 64), train_shorts=(64,), train_long=64, crop_shorts=()),
    batch_size=2,
    steps=4,
    optimizer=AdamWConfig(lr=1e-3),
    schedule=StepSchedule(warmup_steps=1),
)


# A task


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


# A command

COMMAND = '''"""`swin-dense count`: the number of files of each kind in a folder."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Options:
    """Count the files of a folder by their suffix."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder to look through."""
    hidden: bool = False
    """Count files whose name begins with a dot, too."""


def run(options: Options) -> None:
    """Print a line for each suffix."""
    for suffix, number in count(options.folder, hidden=options.hidden).items():
        print(f"{number:6} {suffix}")


def count(folder: Path | str, *, hidden: bool = False) -> Counter[str]:
    """Number of files by suffix; raises FileNotFoundError where there is no such folder."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return Counter(path.suffix for path in files if hidden or path.name[0] != ".")
'''


# A data format


def is_box_table(root: Path) -> bool:
    """True if a folder has a table of boxes for each split: `train.csv`, `val.csv`."""
    return (root / "train.csv").is_file()


def read_box_table(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Read `{split}.csv` with the columns file, x1, y1, x2, y2 (px) and name."""
    path, folder = root / f"{split}.csv", root / "images"
    if not path.is_file():
        raise FileNotFoundError(f"no split '{split}' in {root}: {path} is missing")
    with path.open(newline="") as table:
        rows = list(csv.DictReader(table))
    names = sorted({row["name"] for row in rows})
    files = sorted({row["file"] for row in rows})
    images = [
        CocoImage(place, file, Size(*read_image(folder / file).shape[:2]))
        for place, file in enumerate(files, start=1)
    ]
    annotations = []
    for number, row in enumerate(rows, start=1):
        x1, y1, x2, y2 = (float(row[side]) for side in ("x1", "y1", "x2", "y2"))
        if not (x2 > x1 and y2 > y1):
            box = [x1, y1, x2, y2]
            raise ValueError(f"boxes must have x2 > x1 and y2 > y1, got {box} in row {number}")
        outline = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        annotations.append(
            CocoAnnotation(
                id=number,
                image_id=files.index(row["file"]) + 1,
                category_id=names.index(row["name"]) + 1,
                box=(x1, y1, x2 - x1, y2 - y1),
                area=(x2 - x1) * (y2 - y1),
                is_crowd=False,
                polygons=[outline],  # the box stands for the mask
                run_lengths=None,
            )
        )
    categories = [CocoCategory(place, name) for place, name in enumerate(names, start=1)]
    return CocoFile(path, images, categories, annotations, Counter()), folder


BOX_TABLE = DetectionFormat(name="table of boxes", fits=is_box_table, read=read_box_table)


# The tests


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Everything is added where its page says, and taken out again."""
    for table in (
        *(sd.BACKBONE_KINDS, sd.heads.MODEL_SPECS, sd.heads.MODEL_VARIANTS),
        *(TASKS, RECIPES, COMMANDS, DETECTION_FORMATS),
    ):
        for name in list(table):
            monkeypatch.setitem(table, name, table[name])  # what was there is put back
    before = [
        (table, set(table))
        for table in (
            *(sd.BACKBONE_KINDS, sd.heads.MODEL_SPECS, sd.heads.MODEL_VARIANTS),
            *(TASKS, RECIPES, COMMANDS, DETECTION_FORMATS),
        )
    ]
    sd.BACKBONE_KINDS["toy_conv_net"] = ToyConvNetConfig
    sd.heads.add_model(QUERIES_SPEC)
    RECIPES["toy_queries"] = QUERIES_RECIPE
    sd.heads.add_model(COUNTER_SPEC)
    TASKS["counting"] = CountingTask()
    RECIPES["toy_counting"] = COUNTING_RECIPE
    DETECTION_FORMATS["box_table"] = BOX_TABLE
    yield
    for table, names in before:
        for name in set(table) - names:
            del table[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_shapes(folder, num_train=6, num_val=3, size=64, seed=0)
    return folder


def train(recipe: str, data: Path, out: Path, **flags: Any) -> Run:
    torch.manual_seed(0)
    return sd.tools.train(
        recipe,
        {"data.root": str(data)},
        out=out,
        workers=0,
        device="cpu",
        log_every=1,
        save_every=2,
        keep=4,
        **flags,
    )


def check_resume(recipe: str, data: Path, run: Run, out: Path) -> None:
    """A second run that is continued from its middle ends with the same weights."""
    other = train(recipe, data, out)
    (other.folder / "last").unlink()
    (other.folder / "last").symlink_to("step_00000002")
    resumed = train(recipe, data, out, resume=True)
    assert resumed.metrics == run.metrics
    expected = sd.heads.from_checkpoint(run.last).state_dict()
    found = sd.heads.from_checkpoint(resumed.last).state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def check_files(model: nn.Module, tmp_path: Path, data: Path) -> None:
    """A model is saved, and read back with its backbone, and predicts the same."""
    sd.heads.save_model(model, tmp_path / "model.safetensors")
    loaded = sd.heads.from_checkpoint(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    image = torch.from_numpy(read_image(next((data / "val2017").iterdir()))).permute(2, 0, 1)
    torch.testing.assert_close(loaded.predict([image]), model.predict([image]), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        "mask_rcnn_swin_t",
        pytest.param("cascade_mask_rcnn_swin_t", marks=pytest.mark.slow),
        "upernet_swin_t",
    ],
)
def test_a_toy_backbone_stands_under_every_head(name: str, data: Path, tmp_path: Path) -> None:
    model = sd.heads.create_model(name, backbone=ToyConvNetConfig(width=4), num_classes=3)
    assert isinstance(model.backbone, sd.Backbone)
    check_files(model, tmp_path, data)


@pytest.mark.parametrize("size", [(1, 1), (33, 70)])
def test_a_toy_backbone_keeps_the_protocol(size: tuple[int, int]) -> None:
    backbone = ToyConvNetConfig(frozen_stages=1).build()
    for maps, channels, stride in zip(
        backbone(torch.zeros(1, 3, *size)), backbone.channels, backbone.strides, strict=True
    ):
        assert maps.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"stem.weight", "stem.bias", "stages.0.0.weight", "stages.0.0.bias"}


def test_a_toy_backbone_trains_and_is_continued(data: Path, tmp_path: Path) -> None:
    RECIPES["toy_backbone"] = replace(
        RECIPES["upernet_demo"],
        name="toy_backbone",
        model=replace(
            RECIPES["upernet_demo"].model,
            backbone=ToyConvNetConfig(gradient_checkpointing=True),
            decoder_channels=8,
            auxiliary_channels=None,
        ),
        data=replace(RECIPES["upernet_demo"].data, scale=(64, 64), crop=(64, 64)),
        batch_size=2,
        steps=4,
    )
    run = train("toy_backbone", data, tmp_path / "run")
    check_resume("toy_backbone", data, run, tmp_path / "other")
    assert sd.tools.evaluate(run.last, data=data, scale=(64, 64), workers=0) == run.metrics


def test_a_toy_head_trains_evaluates_and_is_continued(data: Path, tmp_path: Path) -> None:
    run = train("toy_queries", data, tmp_path / "run")
    check_resume("toy_queries", data, run, tmp_path / "other")
    scores = sd.tools.evaluate(run.last, data=data, scale=(64, 64), workers=0)
    assert scores == run.metrics
    assert set(scores) == {"bbox", "segm"}
    check_files(sd.heads.from_checkpoint(run.last), tmp_path, data)
    assert "toy_queries" in sd.tools.inspect(run.last)["holds"]


def test_a_toy_head_starts_anew_where_the_classes_are_others(data: Path, tmp_path: Path) -> None:
    config = replace(QUERIES_RECIPE.model, num_classes=3)
    file = tmp_path / "three.safetensors"
    sd.heads.save_model(sd.heads.create_model(config), file)
    model = sd.heads.create_model(replace(config, num_classes=5))
    report = sd.load_weights(model, file, new_classes=True)
    assert set(report.new) == {"classifier.weight", "classifier.bias"}


def test_a_toy_task_trains_evaluates_predicts_and_is_continued(data: Path, tmp_path: Path) -> None:
    run = train("toy_counting", data, tmp_path / "run")
    check_resume("toy_counting", data, run, tmp_path / "other")
    assert sd.tools.evaluate(run.last, data=data, workers=0) == run.metrics
    assert set(run.metrics) == {"accuracy"}
    check_files(sd.heads.from_checkpoint(run.last), tmp_path, data)
    sd.tools.predict(run.last, [data / "val2017"], out=tmp_path / "found")
    lines = (tmp_path / "found" / "counts.csv").read_text().splitlines()
    assert len(lines) == 3
    page = sd.tools.report(run.folder).read_text()
    assert "accuracy" in page


def test_a_command_is_a_file_in_their_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "count.py"
    file.write_text(COMMAND)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    COMMANDS["count"] = file
    assert cli.main([]) == 2
    assert re.search(
        " count +the number of files of each kind in a folder", capsys.readouterr().out
    )
    assert cli.main(["count", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == ["1", ".py"]
    assert sd.tools.count(tmp_path) == {".py": 1}
    assert cli.main(["count", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err.startswith("error: no folder")


def test_a_toy_format_is_recognised_trained_on_and_evaluated(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", num_train=6, num_val=2, size=64, seed=0)
    root = tmp_path / "table"
    root.mkdir()
    (root / "images").mkdir()
    for split, folder in (("train", "train2017"), ("val", "val2017")):
        shapes = CocoDetection(
            tmp_path / "shapes", folder, transforms=detection_eval((64, 64)), drop_empty=True
        )
        with (root / f"{split}.csv").open("w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["file", "x1", "y1", "x2", "y2", "name"])
            for index, file in enumerate(shapes.file_names):
                copy = root / "images" / f"{split}_{file}"
                copy.write_bytes((shapes.image_folder / file).read_bytes())
                objects = shapes.load_instances(index)
                for box, label in zip(objects.boxes, objects.labels, strict=True):
                    writer.writerow([copy.name, *box.tolist(), shapes.class_names[label]])
    fields = {"data.root": root, "data.train_split": "train", "data.val_split": "val"}
    run = sd.tools.train("toy_queries", fields, out=tmp_path / "run", workers=0, device="cpu")
    scores = sd.tools.evaluate(run.last, data=root, split="val", scale=(64, 64), workers=0)
    assert scores == run.metrics
    with pytest.raises(FileNotFoundError, match="no split 'test'"):
        sd.tools.evaluate(run.last, data=root, split="test", workers=0)


def test_the_page_shows_this_code() -> None:
    source = Path(__file__).read_text()
    page = PAGE.read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 5
    for block in shown:
        ast.parse(block)
        for part in re.split(r"\n{3,}", block.strip("\n")):
            indented = "\n".join(f"    {line}" if line else line for line in part.splitlines())
            assert part in source or indented in source, part
