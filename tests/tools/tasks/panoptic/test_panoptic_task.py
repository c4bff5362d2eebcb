"""Panoptic segmentation behind the commands: data, targets, scores, files, pictures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from panoptic_writer import panoptic_content, write_panoptic

from swin_dense.configs import SwinConfig
from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.formats.panoptic.segment_pngs import read_segment_ids
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.data import PanopticData
from swin_dense.tools.task_flags import PanopticEvaluation, PanopticInference
from swin_dense.tools.tasks.panoptic.panoptic_task import PanopticTask

TASK = PanopticTask()
_NAMES = ("sky", "person")
_CONFIG = Mask2FormerConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=4),
    num_classes=2,
    task="panoptic",
    num_queries=5,
    channels=32,
    num_heads=2,
    encoder_layers=1,
    encoder_ffn_channels=16,
    decoder_layers=1,
    decoder_ffn_channels=16,
    num_points=32,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PanopticData:
    root = tmp_path_factory.mktemp("panoptic")
    write_panoptic(root, panoptic_content())
    return PanopticData(
        root=root, train_split="val2017", scale=(48, 32), size=64, jitter=(1.0, 1.0), flip=0.0
    )


@pytest.fixture(scope="module")
def dataset(data: PanopticData) -> CocoPanoptic:
    return TASK.evaluation_data(data, scale=data.scale)


@pytest.fixture(scope="module")
def model(dataset: CocoPanoptic) -> Model:
    torch.manual_seed(0)
    return TASK.create_model(_CONFIG, dataset)


def _perfect(sample: dict[str, Any]) -> dict[str, Any]:
    """The result that finds every segment; crowds and void are left out."""
    segments = [
        {"id": place, "label": label, "score": 0.9, "is_thing": label == 1}
        for place, label in enumerate(sample["labels"].tolist(), start=1)
        if not sample["is_crowd"][place - 1]
    ]
    ids = torch.tensor([0, *(segment["id"] for segment in segments)])
    found = sample["segment_map"].long()
    return {"panoptic": torch.where(torch.isin(found, ids), found, 0), "segments": segments}


def test_the_data_say_what_is_stuff_and_targets_are_masks_without_crowds(
    data: PanopticData, model: Model
) -> None:
    assert model.config.stuff_classes == (0,)
    assert (model.class_names, model.category_ids) == (_NAMES, (3, 7))
    training = TASK.training_data(data, seed=0)
    batch, (target,) = TASK.prepare([training[0]], torch.device("cpu"), data=data)
    assert batch.pixels.shape == (1, 3, 64, 64)
    assert target["labels"].tolist() == [1, 0]
    assert target["masks"].shape == (2, 64, 64)
    shares = target["masks"].float().mean((1, 2)).tolist()
    assert shares == pytest.approx([300 / 900, 155 / 900], abs=0.03)  # the rest is padding
    losses = model(batch, [target])
    assert all(loss.isfinite() for loss in losses.values())


def test_segments_are_counted_without_crowds_and_what_is_cut_away(data: PanopticData) -> None:
    sample = TASK.training_data(data, seed=0)[0]
    assert TASK.class_counts(sample, 2).tolist() == [1, 1]
    sample["segment_map"][sample["segment_map"] == 3] = 0
    assert TASK.class_counts(sample, 2).tolist() == [0, 1]


def test_recipes_may_crop_instead_of_jitter(data: PanopticData) -> None:
    cropped = replace(data, train_shorts=(40,), train_long=160, photometric=True)
    sample = TASK.training_data(cropped, seed=0)[0]
    assert sample["image"].shape == (3, 64, 64)
    assert int(sample["segment_map"].max()) <= 3


def test_perfect_predictions_score_one_also_when_gathered(
    dataset: CocoPanoptic, model: Model
) -> None:
    samples = [dataset[0], dataset[1]]
    results = [_perfect(sample) for sample in samples]
    evaluation = TASK.evaluate(model, dataset, [(samples, results)], gather=lambda found: found * 2)
    names = [name + group for group in ("", "_things", "_stuff") for name in ("PQ", "SQ", "RQ")]
    assert [evaluation.metrics[name] for name in names] == [1.0] * 9
    assert list(evaluation.metrics)[:9] == names
    assert evaluation.metrics["PQ_classes"] == [1.0, 1.0]
    assert evaluation.classes.counts == [4, 4]
    assert evaluation.confusion.counts.tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 0]]
    assert {image.score for image in evaluation.images.images} == {1.0}
    picture = evaluation.images.best[0].draw()
    drawn = TASK.draw_beside_truth(dataset, samples[0], results[0], model)
    assert picture.shape == drawn.shape
    json.dumps(evaluation.metrics)


def test_confusions_say_what_was_taken_for_what(dataset: CocoPanoptic, model: Model) -> None:
    samples = [dataset[0], dataset[1]]
    taken, nothing = _perfect(samples[0]), _perfect(samples[1])
    taken["segments"][1]["label"] = 1  # sky for a person
    nothing = {"panoptic": torch.zeros(20, 30, dtype=torch.int64), "segments": []}
    evaluation = TASK.evaluate(model, dataset, [(samples, [taken, nothing])])
    assert evaluation.confusion.counts.tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert evaluation.metrics["PQ_things"] == pytest.approx(1 / (1 + 0.5 + 0.5))
    assert evaluation.metrics["PQ_stuff"] == 0.0
    table = TASK.score_table(evaluation.metrics)
    assert table.by_name["things PQ"] == evaluation.metrics["PQ_things"]
    assert TASK.score_name("PQ_stuff") == "PQ of stuff"


def test_models_that_do_not_fit_the_data_are_refused(dataset: CocoPanoptic) -> None:
    with pytest.raises(ValueError, match="got 3 of the model and 2 of the data"):
        TASK.check_classes(create_model(_CONFIG, class_names=tuple("abc")), dataset)
    with pytest.raises(ValueError, match="got 'sky' instead of 'person' for label 0"):
        TASK.check_classes(create_model(_CONFIG, class_names=_NAMES[::-1]), dataset)
    with pytest.raises(ValueError, match=r"model\.task must be panoptic .*, got instance"):
        TASK.create_model(replace(_CONFIG, task="instance"), dataset)


def test_the_predictor_gives_results_in_the_frame_of_the_original(model: Model) -> None:
    predictor = TASK.predictor(PanopticInference())
    assert predictor.scale == (1333, 800)
    image = torch.zeros(3, 32, 48, dtype=torch.uint8)
    (result,) = predictor.predict(model, [image], [(20, 30)])
    assert result["panoptic"].shape == (20, 30)
    assert TASK.resize(np.zeros((20, 30, 3), np.uint8), (48, 32)).shape == (3, 32, 48)


def test_what_is_written_is_cocos_panoptic_format(
    dataset: CocoPanoptic, model: Model, tmp_path: Path
) -> None:
    writer = TASK.writer(tmp_path, model, PanopticInference())
    image = torch.from_numpy(dataset.load_image(0)).permute(2, 0, 1)
    result = _perfect(dataset[0])
    drawn = writer.add("folder/five.jpg", image, result)
    assert drawn.shape[0] == drawn.shape[1] * 20 // 30
    writer.close()
    content = json.loads((tmp_path / "predictions.json").read_text())
    (entry,) = content["annotations"]
    ids = read_segment_ids(tmp_path / "panoptic" / entry["file_name"])
    assert np.array_equal(ids, result["panoptic"].numpy())
    person, sky = entry["segments_info"]
    assert (person["category_id"], person["area"], person["bbox"]) == (7, 300, [0, 0, 30, 10])
    assert (sky["category_id"], sky["area"], sky["score"]) == (3, 155, 0.9)
    assert [(c["id"], c["isthing"]) for c in content["categories"]] == [(3, 0), (7, 1)]


def test_results_are_written_with_an_evaluation(
    dataset: CocoPanoptic, model: Model, tmp_path: Path
) -> None:
    samples = [dataset[0], dataset[1]]
    results = [_perfect(sample) for sample in samples]
    evaluation = TASK.evaluate(model, dataset, [(samples, results)])
    path = tmp_path / "found.json"
    TASK.write_results(evaluation, PanopticInference())
    TASK.write_results(evaluation, PanopticEvaluation(results=path))
    content = json.loads(path.read_text())
    assert [entry["image_id"] for entry in content["annotations"]] == [5, 9]
    for entry, result in zip(content["annotations"], results, strict=True):
        ids = read_segment_ids(tmp_path / "found" / entry["file_name"])
        assert np.array_equal(ids, result["panoptic"].numpy())
        assert [segment["category_id"] for segment in entry["segments_info"]] == [7, 3]
    assert [c["isthing"] for c in content["categories"]] == [0, 1]


def test_images_may_be_kept_from_training_for_evaluation(tmp_path: Path) -> None:
    write_panoptic(tmp_path, panoptic_content(), split="train2017")
    data = PanopticData(root=tmp_path, val_fraction=0.5, size=32)
    kept = TASK.evaluation_data(data, scale=None)
    others = TASK.training_data(data, seed=0)
    assert sorted([*kept.file_names, *others.file_names]) == ["five.jpg", "nine.jpg"]
    assert (kept.kept_images, others.kept_images) == (tuple(kept.file_names), ())
    assert kept.split_name == "train2017 (kept for validation: 50% by name)"
    (tmp_path / "kept.txt").write_text("nine.jpg")
    flags = PanopticEvaluation(val_list=tmp_path / "kept.txt")
    again = TASK.evaluation_data(TASK.data_at(tmp_path, split="train", flags=flags), scale=None)
    assert again.file_names == ["nine.jpg"]
    with pytest.raises(FileNotFoundError, match=r"no panoptic split 'val2017'.*val-fraction"):
        TASK.evaluation_data(PanopticData(root=tmp_path), scale=None)
