"""Detection behind the commands: classes of model and data, targets, files, pictures."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from coco_writer import without_masks
from pycocotools.coco import COCO

from swin_dense.datasets.masks import decompress
from swin_dense.datasets.shapes import write_shapes
from swin_dense.tools.recipes.data import BoxData, DetectionData, JitteredData
from swin_dense.tools.task_flags import DetectionEvaluation, DetectionPrediction
from swin_dense.tools.tasks.detection import DetectionTask, DetectionWriter, match_classes
from swin_dense.tools.tasks.scores import ScoreTable

TASK = DetectionTask()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(
        tmp_path_factory.mktemp("shapes") / "data", num_train=2, num_val=3, size=64, seed=0
    )


def _model(names: tuple[str, ...] | None, *, num_classes: int | None = None) -> Any:
    count = num_classes or len(names or ())
    return SimpleNamespace(
        class_names=names, category_ids=None, config=SimpleNamespace(num_classes=count)
    )


def _data(*names: str) -> Any:
    return SimpleNamespace(class_names=names, category_ids=tuple(range(1, len(names) + 1)))


def _targets(samples: list[Any]) -> list[dict[str, torch.Tensor]]:
    return TASK.prepare(samples, torch.device("cpu"), data=DetectionData())[1]


def test_classes_are_matched_by_name_whatever_their_order() -> None:
    labels = match_classes(_model(("dog", "cat", "cow")), _data("cat", "dog"))
    assert labels == [1, 0, -1]


def test_two_classes_of_one_name_keep_their_own_labels() -> None:
    names = ("cat", "cat", "dog")
    assert match_classes(_model(names), _data(*names)) == [0, 1, 2]


def test_without_names_the_order_of_the_data_counts() -> None:
    assert match_classes(_model(None, num_classes=2), _data("cat", "dog")) == [0, 1]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_model(None, num_classes=3), "got 3 and 2 categories"),
        (_model(("cat", "cow")), "got 2 classes for 2 categories; not known: dog"),
    ],
)
def test_classes_that_cannot_be_matched_are_refused(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_classes(model, _data("cat", "dog"))


def test_targets_hold_boxes_labels_and_bitmaps_of_the_input(root: Path) -> None:
    data = DetectionData(root=root, train_shorts=(96,), train_long=96, crop_shorts=())
    dataset = TASK.training_data(data, seed=0)
    images, targets = TASK.prepare([dataset[0], dataset[1]], torch.device("cpu"), data=data)
    assert images.sizes == ((96, 96), (96, 96))
    for target in targets:
        count = len(target["labels"])
        assert target["boxes"].shape == (count, 4)
        assert target["masks"].shape == (count, 96, 96)
        assert target["masks"].flatten(1).any(dim=1).all()


def test_perfect_predictions_score_one_also_when_gathered(root: Path) -> None:
    dataset = TASK.evaluation_data(DetectionData(root=root), scale=(64, 64))
    samples = [dataset[index] for index in range(len(dataset))]
    targets = _targets(samples)
    results = [target | {"scores": torch.ones(len(target["labels"]))} for target in targets]
    model = _model(dataset.class_names)
    evaluation = TASK.evaluate(model, dataset, [(samples, results)], gather=list)
    assert evaluation.headline["bbox/AP"] > 0.99
    assert evaluation.headline["segm/AP"] > 0.99
    assert list(evaluation.metrics) == ["bbox", "segm"]
    assert evaluation.classes.names == dataset.class_names
    assert sum(evaluation.classes.counts) == sum(len(target["labels"]) for target in targets)
    matrix = evaluation.confusion.counts
    assert matrix.trace() == matrix.sum()  # nothing missed, nothing confused
    assert evaluation.confusion.names[-1] == "background"
    assert [image.score for image in evaluation.images.images] == [1.0, 1.0, 1.0]
    assert list(evaluation.curves) == ["boxes", "masks"]
    assert evaluation.curves["boxes"].means["IoU 0.50"][:90] == pytest.approx(1)
    picture = evaluation.images.best[0].draw()
    drawn = TASK.draw_beside_truth(dataset, samples[0], results[0], model)
    assert np.abs(picture.astype(int) - drawn).mean() < 1
    nothing = [{name: value[:0] for name, value in result.items()} for result in results]
    assert TASK.evaluate(model, dataset, [(samples, nothing)]).headline["bbox/AP"] == 0


def test_without_masks_the_scores_and_pictures_are_of_boxes(root: Path) -> None:
    dataset = TASK.evaluation_data(BoxData(root=root), scale=(64, 64))
    samples = [dataset[index] for index in range(len(dataset))]
    _, targets = TASK.prepare(samples, torch.device("cpu"), data=BoxData())
    assert [target.keys() for target in targets] == [{"boxes", "labels"}] * 3
    results = [target | {"scores": torch.ones(len(target["labels"]))} for target in targets]
    model = _model(dataset.class_names)
    evaluation = TASK.evaluate(model, dataset, [(samples, results)], gather=list)
    assert evaluation.headline.keys() == {"bbox/AP", "bbox/AP50"}
    assert evaluation.headline["bbox/AP"] > 0.99
    assert evaluation.metrics.keys() == {"bbox"}
    assert len(evaluation.metrics["bbox"]) == 12
    assert [len(table.columns) for table in evaluation.tables] == [2, 2]
    assert list(evaluation.classes.scores) == ["box AP"]
    assert list(evaluation.curves) == ["boxes"]
    table = TASK.score_table(evaluation.metrics)
    assert table.columns == ("boxes",)
    assert table.by_name.keys() == {f"box {name}" for name in evaluation.metrics["bbox"]}
    picture = evaluation.images.best[0].draw()
    drawn = TASK.draw_beside_truth(dataset, samples[0], results[0], model)
    assert np.abs(picture.astype(int) - drawn).mean() < 1


def test_a_model_with_masks_has_scores_of_boxes_alone_on_data_without_masks(
    root: Path, tmp_path: Path
) -> None:
    found = []
    for share in (1, 2):  # of the objects lose their masks
        data = without_masks(root, tmp_path / str(share), every=share)
        dataset = TASK.evaluation_data(DetectionData(root=data), scale=(64, 64))
        whole = TASK.evaluation_data(DetectionData(root=root), scale=(64, 64))
        samples = [whole[index] for index in range(len(whole))]
        targets = _targets(samples)
        results = [target | {"scores": torch.ones(len(target["labels"]))} for target in targets]
        model = _model(dataset.class_names)
        found.append(TASK.evaluate(model, dataset, [(samples, results)]).metrics)
    assert found[0].keys() == {"bbox"}
    assert found[1].keys() == {"bbox", "segm"}
    assert found[0]["bbox"] == found[1]["bbox"]
    assert found[1]["segm"]["AP50"] == pytest.approx(1)


def test_targets_say_which_objects_have_a_mask_where_some_have_none(
    root: Path, tmp_path: Path
) -> None:
    dataset = TASK.evaluation_data(
        DetectionData(root=without_masks(root, tmp_path, every=2)), scale=(64, 64)
    )
    (target,) = _targets([dataset[0]])
    assert target["has_mask"].tolist() == target["masks"].flatten(1).any(1).tolist()
    assert 0 < target["has_mask"].sum() < len(target["has_mask"])


def test_images_are_ranked_over_all_processes(root: Path) -> None:
    dataset = TASK.evaluation_data(DetectionData(root=root), scale=(64, 64))
    samples = [dataset[index] for index in range(len(dataset))]
    targets = _targets(samples)
    results = [target | {"scores": torch.ones(len(target["labels"]))} for target in targets]
    results[1] = {name: value[:0] for name, value in results[1].items()}
    model, parts = _model(dataset.class_names), []
    TASK.evaluate(
        model, dataset, [(samples[:1], results[:1])], gather=lambda part: parts.extend(part) or part
    )
    rest = [(samples[1:], results[1:])]
    joined = TASK.evaluate(model, dataset, rest, gather=lambda part: parts + part)
    single = TASK.evaluate(model, dataset, [(samples, results)])
    assert joined.metrics == single.metrics
    assert joined.images.images == single.images.images
    assert joined.images.worst[0].image.place == 1
    assert (joined.images.best[0].draw() == single.images.best[0].draw()).all()


def test_classes_that_the_data_does_not_have_are_left_out(root: Path) -> None:
    dataset = TASK.evaluation_data(DetectionData(root=root), scale=(64, 64))
    sample = dataset[0]
    (target,) = _targets([sample])
    extra = {name: torch.cat([value, value]) for name, value in target.items()}
    extra["labels"] = torch.cat([target["labels"] + 1, torch.zeros_like(target["labels"])])
    extra["scores"] = torch.ones(len(extra["labels"]))
    model = _model(("unknown", *dataset.class_names))
    evaluation = TASK.evaluate(model, dataset, [([sample], [extra])])
    assert evaluation.metrics["bbox"]["AR100"] > 0


def test_predictions_are_a_coco_file_with_the_models_ids(tmp_path: Path) -> None:
    model = SimpleNamespace(
        class_names=("cat", "dog"), category_ids=(3, 7), config=SimpleNamespace(num_classes=2)
    )
    writer = DetectionWriter(tmp_path / "predictions.json", model, score_threshold=0.5)
    masks = torch.zeros(2, 40, 50, dtype=torch.bool)
    masks[:, 10:30, 5:25] = True
    result = {
        "boxes": torch.tensor([[5.0, 10, 25, 30], [0, 0, 1, 1]]),
        "labels": torch.tensor([1, 0]),
        "scores": torch.tensor([0.75, 0.25]),
        "masks": masks,
    }
    image = torch.zeros(3, 40, 50, dtype=torch.uint8)
    writer.add("a.jpg", image, result)
    writer.add("b.jpg", image, {name: value[:0] for name, value in result.items()})
    writer.close()
    coco = COCO(tmp_path / "predictions.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == ["a.jpg", "b.jpg"]
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    assert (annotation["category_id"], annotation["score"]) == (7, 0.75)
    assert annotation["bbox"] == [5, 10, 20, 20]
    assert annotation["area"] == 400
    runs = annotation["segmentation"]
    (bitmap,) = decompress([{**runs, "counts": runs["counts"].encode()}])
    assert (bitmap == masks[0].numpy()).all()
    categories = json.loads((tmp_path / "predictions.json").read_text())["categories"]
    assert categories == [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def test_predictions_without_masks_have_boxes_and_their_area(tmp_path: Path) -> None:
    writer = DetectionWriter(tmp_path / "a.json", _model(("cat", "dog")), score_threshold=0.5)
    result = {
        "boxes": torch.tensor([[5.0, 10, 25, 30]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.75]),
    }
    picture = writer.add("a.jpg", torch.zeros(3, 40, 50, dtype=torch.uint8), result)
    assert picture.any()
    writer.close()
    (annotation,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert "segmentation" not in annotation
    assert (annotation["bbox"], annotation["area"]) == ([5, 10, 20, 20], 400)


def test_an_image_is_resized_as_in_evaluation() -> None:
    assert TASK.resize(np.zeros((480, 640, 3), np.uint8), (1333, 800)).shape == (3, 800, 1067)


def test_truth_and_prediction_stand_side_by_side(root: Path) -> None:
    dataset = TASK.evaluation_data(DetectionData(root=root), scale=(64, 64))
    sample = dataset[0]
    (target,) = _targets([sample])
    result = target | {"scores": torch.ones(len(target["labels"]))}
    picture = TASK.draw_beside_truth(dataset, sample, result, _model(dataset.class_names))
    assert picture.shape[1] > 2 * 64 * 7  # enlarged eight times


def test_the_numbers_stand_under_the_names_of_the_papers() -> None:
    metrics = {"bbox": {"AP": 0.5, "APs": -1.0}, "segm": {"AP": 0.25, "APs": 0.125}}
    table = TASK.score_table(metrics)
    assert isinstance(table, ScoreTable)
    assert table.columns == ("boxes", "masks")
    assert dict(table.rows) == {"AP": [0.5, 0.25], "APs": [None, 0.125]}
    assert table.by_name == {"box AP": 0.5, "box APs": None, "mask AP": 0.25, "mask APs": 0.125}
    assert "COCO" not in table.words
    assert "0.50 to 0.95" in table.words
    assert TASK.score_name("segm/AP50") == "mask AP50"


def test_objects_of_each_class_are_counted() -> None:
    assert TASK.class_counts({"labels": torch.tensor([2, 0, 2])}, 4).tolist() == [1, 0, 2, 0]
    assert TASK.class_counts({"labels": torch.zeros(0, dtype=torch.int64)}, 2).tolist() == [0, 0]


def test_flags_are_checked_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the output file must not be a folder"):
        DetectionEvaluation(results=tmp_path)
    with pytest.raises(ValueError, match=r"--score-threshold must be in 0\.\.1, got -1"):
        DetectionPrediction(score_threshold=-1)


def test_a_sample_is_drawn_with_its_objects(root: Path) -> None:
    dataset = TASK.training_data(
        DetectionData(root=root, train_shorts=(64,), train_long=64), seed=0
    )
    sample = dataset[(0, 0)]
    assert len(sample["labels"])
    drawn = TASK.draw_sample(dataset, sample).astype(int)
    empty = sample | {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "mask_counts": torch.zeros(0, dtype=torch.int32),
        "mask_num_runs": torch.zeros(0, dtype=torch.int64),
    }
    plain = TASK.draw_sample(dataset, empty).astype(int)
    assert drawn.shape == plain.shape
    changed = np.abs(drawn - plain).sum(axis=2) > 0
    x1, y1, x2, y2 = (sample["boxes"][0] * drawn.shape[0] / sample["image"].shape[1]).int().tolist()
    assert changed[y1:y2, x1:x2].mean() > 0.2


def test_jittered_objects_without_a_pixel_left_have_no_mask(root: Path) -> None:
    data = JitteredData(root=root, size=32, jitter=(2.0, 2.0))
    dataset = TASK.training_data(data, seed=0)
    sample = dataset[0]
    assert sample["image"].shape == (3, 32, 32)
    sample["mask_num_runs"][0] = 1  # the first object: one run, outside
    first = sample["mask_counts"][:0]
    num_runs = int(dataset[0]["mask_num_runs"][0])
    rest = dataset[0]["mask_counts"][num_runs:]
    sample["mask_counts"] = torch.cat([first, torch.tensor([32 * 32]).int(), rest])
    _, (target,) = TASK.prepare([sample], torch.device("cpu"), data=data)
    has_mask = target.get("has_mask", torch.ones(len(target["labels"]), dtype=torch.bool))
    assert has_mask.tolist() == target["masks"].flatten(1).any(1).tolist()
    assert not has_mask[0]
