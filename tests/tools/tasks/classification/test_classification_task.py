"""Classification behind the commands: data, batches, scores, files, pictures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.datasets.drawn.shape_classes import write_shape_classes
from swin_dense.datasets.formats.classification.image_folder import ImageFolder
from swin_dense.heads.classification.config import ClassifierConfig, ViewConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.data import ClassificationData
from swin_dense.tools.task_flags import ClassificationEvaluation, ClassificationPrediction
from swin_dense.tools.tasks.classification.classification_task import ClassificationTask

TASK = ClassificationTask()
_CONFIG = ClassifierConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ClassificationData:
    root = tmp_path_factory.mktemp("classes") / "shapes"
    write_shape_classes(root, num_train=10, num_val=10, size=32)
    return ClassificationData(root=root, scale=(36, 32), size=32)


@pytest.fixture(scope="module")
def dataset(data: ClassificationData) -> ImageFolder:
    return TASK.evaluation_data(data, scale=ViewConfig(resize=36, crop=32))


@pytest.fixture(scope="module")
def model(data: ClassificationData) -> Model:
    torch.manual_seed(0)
    return TASK.create_model(_CONFIG, TASK.training_data(data, seed=0))


def test_models_have_the_datas_classes_and_its_view(
    data: ClassificationData, dataset: ImageFolder, model: Model
) -> None:
    assert model.class_names == dataset.class_names
    assert model.config.num_classes == 10
    assert model.config.view == ViewConfig(resize=36, crop=32)
    assert TASK.predictor(ClassificationEvaluation(), model).scale == model.config.view


def test_images_of_a_batch_are_erased_and_mixed_and_labels_are_shares(
    data: ClassificationData, model: Model
) -> None:
    samples = [TASK.training_data(data, seed=0)[index] for index in range(4)]
    torch.manual_seed(0)
    batch, shares = TASK.prepare(samples, torch.device("cpu"), data=data)
    assert batch.pixels.shape == (4, 3, 32, 32)
    assert shares.shape == (4, 10)
    assert model(batch, shares)["loss_cls"].isfinite()
    torch.manual_seed(0)
    again, _ = TASK.prepare(samples, torch.device("cpu"), data=data)
    assert torch.equal(again.pixels, batch.pixels)
    plain = replace(data, mixup=0.0, cutmix=0.0, erasing=0.0)
    batch, labels = TASK.prepare(samples, torch.device("cpu"), data=plain)
    assert labels.tolist() == [0, 1, 2, 3]
    assert model(batch, labels)["loss_cls"].isfinite()


def test_a_sample_counts_for_its_class(data: ClassificationData) -> None:
    sample = TASK.training_data(data, seed=0)[3]
    assert TASK.class_counts(sample, 10).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def _scores(*labels: int) -> torch.Tensor:
    scores = torch.full((10,), 0.01)
    for place, label in enumerate(labels):
        scores[label] = 0.5 - 0.05 * place
    return scores


def test_scores_are_those_of_the_images_also_when_gathered(
    dataset: ImageFolder, model: Model
) -> None:
    samples = [dataset[index] for index in range(4)]  # labels 0 to 3
    results = [_scores(0), _scores(2, 1), _scores(9, 8, 7, 6, 5, 2), _scores(3)]
    evaluation = TASK.evaluate(model, dataset, [(samples, results)], gather=lambda found: found * 2)
    metrics = evaluation.metrics
    assert (metrics["top1"], metrics["top5"], metrics["mean_top1"]) == (0.5, 0.75, 0.5)
    assert metrics["images"][:5] == [2, 2, 2, 2, 0]
    assert evaluation.headline == {"top1": 0.5, "top5": 0.75}
    assert evaluation.confusion.counts[1, 2] == evaluation.confusion.counts[2, 9] == 2
    assert evaluation.classes.scores["top-1"][:5] == [1.0, 0.0, 0.0, 1.0, None]
    assert evaluation.images.best[0].image.score == 0.5
    json.dumps(metrics)
    table = TASK.score_table(metrics)
    assert table.by_name["top-1"] == 0.5
    assert TASK.score_name("top5") == "top-5"
    picture = evaluation.images.worst[0].draw()
    drawn = TASK.draw_beside_truth(dataset, samples[2], results[2], model)
    assert picture.dtype == drawn.dtype == np.uint8
    assert picture.shape[2] == drawn.shape[2] == 3


def test_many_classes_have_a_matrix_of_those_that_are_confused(
    dataset: ImageFolder, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swin_dense.tools.tasks.classification import classification_scores

    monkeypatch.setattr(classification_scores, "_MOST_CLASSES", 9)
    samples = [dataset[index] for index in range(3)]
    results = [_scores(0), _scores(4), _scores(2)]
    confusion = TASK.evaluate(model, dataset, [(samples, results)]).confusion
    assert confusion.names == (dataset.class_names[1], dataset.class_names[4], "all others")
    assert confusion.counts.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    ("flags", "view"),
    [
        ({}, ViewConfig(resize=36, crop=32)),
        ({"scale": (40, 24)}, ViewConfig(resize=40, crop=24)),
        ({"protocol": "huggingface"}, ViewConfig(resize=64, crop=64, keep_ratio=False)),
        ({"protocol": "timm"}, ViewConfig(resize=71, crop=64)),
    ],
)
def test_flags_choose_another_view(flags: dict[str, Any], view: ViewConfig, model: Model) -> None:
    predictor = TASK.predictor(ClassificationEvaluation(**flags), model)
    assert predictor.scale == view
    pixels = np.zeros((50, 60, 3), np.uint8)
    assert TASK.resize(pixels, view).shape == (3, view.crop, view.crop)
    (scores,) = predictor.predict(model, [TASK.resize(pixels, view)], [(50, 60)])
    assert scores.shape == (10,)


def test_another_number_of_classes_is_refused(dataset: ImageFolder) -> None:
    with pytest.raises(ValueError, match="got 3 of the model and 10 of the data"):
        TASK.check_classes(create_model(_CONFIG, class_names=tuple("abc")), dataset)


def test_predictions_are_written_with_the_highest_scores(
    dataset: ImageFolder, model: Model, tmp_path: Path
) -> None:
    writer = TASK.writer(tmp_path, model, ClassificationPrediction(top=2))
    image = dataset[0]["image"]
    picture = writer.add("folder/one.jpg", image, _scores(4, 7))
    assert picture.shape[1] > 320
    writer.close()
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert content["classes"] == list(dataset.class_names)
    (entry,) = content["images"]
    assert (entry["file_name"], entry["label"], entry["score"]) == ("folder/one.jpg", 4, 0.5)
    assert [found["label"] for found in entry["top"]] == [4, 7]
    assert entry["name"] == dataset.class_names[4]


def test_a_sample_is_drawn_with_its_class(data: ClassificationData) -> None:
    training = TASK.training_data(data, seed=0)
    assert TASK.draw_sample(training, training[0]).ndim == 3
