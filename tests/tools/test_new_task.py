"""A task that only this file knows: it trains, evaluates, resumes and reports like the others."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from rich.table import Table
from torch import Tensor
from training_runs import BACKBONE, assert_same, weights

import swin_dense as sd
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.cli import main
from swin_dense.tools.recipes.data import DataConfig
from swin_dense.tools.recipes.optim import AdamWConfig, Schedule
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES
from swin_dense.tools.runs.log import read_log
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

_SIDE = 32
_NAMES = ("dark", "bright")
_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class _LightData(DataConfig):
    """Noise that is drawn, a half of it bright."""

    task: ClassVar[str] = "light"

    root: Path = Path("nowhere")
    train_split: str = "0"
    val_split: str = "1"
    scale: tuple[int, int] = (_SIDE, _SIDE)
    num_images: int = 4
    """Images of a split, whose name is the seed."""


@dataclass(frozen=True, kw_only=True)
class _LightFlags(Inference):
    """Flags that this task alone has."""

    is_dark: bool = False
    """Light: darken the images."""


@dataclass(frozen=True, kw_only=True)
class _HalvingSchedule(Schedule):
    """A schedule that no other file knows."""

    period: int = 2
    """Steps until the learning rate is halved."""

    def factor(self, step: int, *, num_steps: int) -> float:
        return 0.5 ** (step // self.period)


class _LightSet:
    """Samples with the label map of what is bright; an index may come with the epoch."""

    class_names = _NAMES

    def __init__(self, split: str, num_images: int) -> None:
        self.image_ids = list(range(num_images))
        self._seed = int(split)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        index = key if isinstance(key, int) else key[-1]
        noise = np.random.default_rng((self._seed, index)).integers(0, 100, (3, _SIDE, _SIDE))
        label_map = torch.zeros(_SIDE, _SIDE, dtype=torch.int64)
        label_map[:, index * 4 + 8 :] = 1
        image = torch.from_numpy(noise) + 150 * label_map
        size = (_SIDE, _SIDE)
        return {
            "image": image.to(torch.uint8),
            "image_id": index,
            "original_size": size,
            "light": label_map,
        }


class _Writer:
    """Writes the bright share of each image."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shares: dict[str, float] = {}

    def add(self, name: str, image: Tensor, result: Tensor) -> np.ndarray:
        self._shares[name] = float(result.float().mean())
        return image.permute(1, 2, 0).numpy()

    def close(self) -> None:
        self._path.write_text(json.dumps(self._shares))


class LightTask:
    """Is a pixel bright?"""

    name = "light"
    data_type = _LightData
    evaluation_flags = _LightFlags
    prediction_flags = _LightFlags
    annotation_unit = "pixels"

    def data_at(self, root: Path, *, split: str | None, flags: _LightFlags) -> _LightData:
        assert isinstance(flags, _LightFlags)
        data = _LightData(root=root)
        return data if split is None else replace(data, val_split=split)

    def training_data(self, data: _LightData, *, seed: int) -> _LightSet:
        return _LightSet(data.train_split, data.num_images)

    def evaluation_data(
        self, data: _LightData, *, scale: tuple[int, int] | None, model: Any = None
    ) -> _LightSet:
        return _LightSet(data.val_split, data.num_images)

    def aspect_ratios(self, dataset: _LightSet) -> Sequence[float]:
        return [1.0] * len(dataset)

    def class_counts(self, sample: dict[str, Any], num_classes: int) -> np.ndarray:
        return np.bincount(sample["light"].numpy().ravel(), minlength=num_classes)

    def create_model(self, config: Any, dataset: _LightSet) -> Any:
        return create_model(config, num_classes=2, class_names=dataset.class_names)

    def check_classes(self, model: Any, dataset: _LightSet) -> None:
        assert model.class_names == dataset.class_names

    def prepare(
        self, samples: Sequence[dict[str, Any]], device: torch.device, *, data: _LightData
    ) -> tuple[ImageBatch, list[Tensor]]:
        images = batch_images([sample["image"] for sample in samples], device)
        return images, [sample["light"] for sample in samples]

    def predictor(self, flags: _LightFlags, model: Any) -> Predictor:
        def predict(model: Any, images: Sequence[Tensor], sizes: Any) -> list[Tensor]:
            seen = [image // 8 if flags.is_dark else image for image in images]
            return model.predict(seen, original_sizes=sizes)

        return Predictor(scale=flags.scale, predict=predict)

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        return torch.from_numpy(image).permute(2, 0, 1)

    def evaluate(
        self,
        model: Any,
        dataset: _LightSet,
        predictions: Iterable[tuple[list[dict[str, Any]], list[Tensor]]],
        *,
        gather: Callable[[list[Any]], list[Any]] | None = None,
    ) -> Evaluation:
        counts = np.zeros((2, 2), np.int64)
        images = []
        for samples, results in predictions:
            for sample, result in zip(samples, results, strict=True):
                np.add.at(counts, (sample["light"].numpy(), result.numpy()), 1)
                right = float((sample["light"] == result).float().mean())
                images.append(ScoredImage(sample["image_id"], sample["image_id"], right))
        accuracy = float(counts.trace() / counts.sum())
        recall = (counts.diagonal() / counts.sum(1).clip(1)).tolist()
        return Evaluation(
            metrics={"accuracy": accuracy},
            headline={"accuracy": accuracy},
            tables=[Table("accuracy")],
            classes=ClassScores(
                names=_NAMES, scores={"recall": recall}, counts=[1, 1], unit="pixels"
            ),
            confusion=Confusion(names=_NAMES, counts=counts, unit="pixels", rule="All pixels."),
            images=rank_images(images, lambda _: np.zeros((8, 8, 3), np.uint8), rule="accuracy"),
        )

    def write_results(self, evaluation: Evaluation, flags: _LightFlags) -> None:
        assert isinstance(flags, _LightFlags)

    def writer(self, out: Path, model: Any, flags: _LightFlags) -> _Writer:
        return _Writer(out / "light.json")

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        return ScoreTable(
            columns=("score",), rows={"accuracy": [metrics["accuracy"]]}, words="Of all pixels."
        )

    def score_name(self, name: str) -> str:
        return f"pixel {name}"

    def draw_beside_truth(
        self, dataset: _LightSet, sample: dict[str, Any], result: Tensor, model: Any
    ) -> np.ndarray:
        return sample["image"].permute(1, 2, 0).numpy()

    def draw_sample(self, dataset: _LightSet, sample: dict[str, Any]) -> np.ndarray:
        return sample["image"].permute(1, 2, 0).numpy()


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task and a recipe of it in the tables; a model for it is a segmentor of another task."""
    monkeypatch.setitem(TASKS, "light", LightTask())
    monkeypatch.setattr(UPerNet, "task", "light")
    recipe = Recipe(
        name="light_demo",
        source="this file",
        model=UPerNetConfig(
            backbone=BACKBONE, decoder_channels=8, pool_scales=(1,), auxiliary_channels=8
        ),
        data=_LightData(),
        batch_size=2,
        steps=_STEPS,
        optimizer=AdamWConfig(lr=1e-2),
        schedule=_HalvingSchedule(),
    )
    monkeypatch.setitem(RECIPES, recipe.name, recipe)


def _train(out: Path, **changes: Any) -> Any:
    flags = {"workers": 0, "log_every": 1, "device": "cpu"} | changes.pop("flags", {})
    return sd.tools.train("light_demo", changes, out=str(out), **flags)


def test_it_trains_evaluates_predicts_and_reports(tmp_path: Path) -> None:
    run = _train(tmp_path / "run", **{"data.num_images": 3, "schedule.period": 1})
    assert run.folder == tmp_path / "run"
    assert run.metrics.keys() == {"accuracy"}
    assert run.best.is_file()
    rates = [line["rate"] for line in read_log(run.folder) if "loss" in line]
    assert rates == pytest.approx([1e-2, 5e-3, 2.5e-3])
    samples = (run.folder / "samples.html").read_text()
    assert "1,024 pixels" in samples
    assert "<td>bright</td>" in samples
    report = (run.folder / "report.html").read_text()
    assert "Of all pixels." in report
    assert "pixel accuracy" in report

    scores = sd.tools.evaluate(
        run.last, data=tmp_path, split="1", json=tmp_path / "a.json", workers=0, device="cpu"
    )
    assert scores == json.loads((tmp_path / "a.json").read_text())
    dark = sd.tools.evaluate(run.last, data=tmp_path, is_dark=True, workers=0, device="cpu")
    assert dark.keys() == scores.keys()

    Image.new("RGB", (_SIDE, _SIDE), "white").save(tmp_path / "a.png")
    sd.tools.predict(run.last, tmp_path / "a.png", out=tmp_path / "found", device="cpu")
    assert json.loads((tmp_path / "found" / "light.json").read_text()).keys() == {"a.png"}


def test_it_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole")
    half = _train(tmp_path / "half", flags={"save_every": 1, "keep": 9})
    for name in ("last", "best", "step_00000003", "step_00000002"):
        path = half.folder / name
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
    assert not half.last.exists()
    resumed = _train(tmp_path / "half", flags={"resume": True})
    assert_same(weights(resumed.folder), weights(whole.folder))
    assert resumed.metrics == whole.metrics


def test_its_flags_are_on_the_command_line_and_refused_by_other_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _train(tmp_path / "run", steps=1)
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "--is-dark" in capsys.readouterr().out
    words = [
        "--weights",
        str(run.last),
        "--data",
        str(tmp_path),
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    assert main(["evaluate", *words, "--is-dark"]) == 0
    capsys.readouterr()
    assert main(["evaluate", *words, "--mode", "slide"]) == 2
    expected = "error: --mode is for segmentation, got a model for light\n"
    assert capsys.readouterr().err == expected
    assert main(["train", "light_demo", "--data.num-images", "x"]) == 2
    assert "--data.num-images" in capsys.readouterr().err
