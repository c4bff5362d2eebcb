"""Segmentation behind the commands: classes of model and data, targets, scores, files, pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.configs import SwinConfig
from swin_dense.datasets.categories import ade20k_classes
from swin_dense.datasets.shapes import GROUND_NAME, SHAPE_NAMES, write_shapes
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.tools.recipes.data import PaddedData, SegmentationData
from swin_dense.tools.task_flags import SegmentationInference
from swin_dense.tools.tasks.segmentation import LabelMapWriter, SegmentationTask

TASK = SegmentationTask()

_NAMES = (GROUND_NAME, *SHAPE_NAMES)
_CONFIG = UPerNetConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
    decoder_channels=8,
    auxiliary_channels=8,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SegmentationData:
    root = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(root, num_train=2, num_val=3, size=64, seed=0)
    return SegmentationData(root=root, scale=(64, 64), crop=(48, 80))


def _model(names: tuple[str, ...] | None, *, num_classes: int | None = None) -> UPerNet:
    torch.manual_seed(0)
    return create_model(_CONFIG, class_names=names, num_classes=num_classes)


def test_a_training_batch_is_padded_to_the_crop(data: SegmentationData) -> None:
    small = replace(data, ratios=(0.5, 0.5))
    dataset = TASK.training_data(small, seed=0)
    batch, label_maps = TASK.prepare([dataset[0]], torch.device("cpu"), data=small)
    assert batch.sizes == ((32, 32),)
    assert batch.pixels.shape == (1, 3, 48, 80)
    assert not batch.pixels[..., 32:, :].any()
    assert label_maps[0].shape == (32, 32)
    losses = _model(_NAMES)(batch, label_maps)
    assert losses.keys() == {"loss_seg", "loss_aux"}


def test_mask2formers_crops_are_padded_with_ignored_pixels(data: SegmentationData) -> None:
    padded = PaddedData(root=data.root, crop=(48, 80), train_shorts=(32,), train_long=128)
    sample = TASK.training_data(padded, seed=0)[0]
    assert sample["image"].shape == (3, 48, 80)
    assert sample["label_map"].shape == (48, 80)
    assert (sample["label_map"][32:] == 255).all()
    assert (sample["image"][:, 32:] == 128).all()
    assert (sample["label_map"][:32, :32] < 7).all()


def test_perfect_predictions_score_one_also_when_gathered(data: SegmentationData) -> None:
    dataset = TASK.evaluation_data(data, scale=(32, 32))
    samples = [dataset[index] for index in range(len(dataset))]
    assert samples[0]["image"].shape == (3, 32, 32)
    truth = [sample["label_map"] for sample in samples]
    assert truth[0].shape == (64, 64)
    evaluation = TASK.evaluate(
        _model(_NAMES), dataset, [(samples, truth)], gather=lambda found: found * 2
    )
    assert evaluation.headline == {"mIoU": 1.0, "mAcc": 1.0, "aAcc": 1.0}
    assert list(evaluation.metrics) == [
        *("mIoU", "mAcc", "aAcc", "IoU"),
        *("area_intersect", "area_union", "area_pred", "area_label"),
    ]
    assert sum(evaluation.metrics["area_label"]) == 2 * 3 * 64 * 64
    assert evaluation.classes.names == _NAMES
    assert evaluation.classes.scores["IoU"] == evaluation.metrics["IoU"]
    matrix = evaluation.confusion.counts
    assert matrix.diagonal().tolist() == evaluation.metrics["area_intersect"]
    assert matrix.sum(axis=1).tolist() == evaluation.metrics["area_label"]
    assert [image.score for image in evaluation.images.images] == [1.0, 1.0, 1.0]
    picture = evaluation.images.worst[0].draw()
    drawn = TASK.draw_beside_truth(dataset, samples[2], truth[2], _model(_NAMES))
    assert (picture == drawn).all()


def test_images_are_ranked_over_all_processes(data: SegmentationData) -> None:
    dataset = TASK.evaluation_data(data, scale=(32, 32))
    samples = [dataset[index] for index in range(len(dataset))]
    truth = [sample["label_map"] for sample in samples]
    results = [truth[0], torch.zeros_like(truth[1]), truth[2]]
    parts: list[object] = []

    def remember(part: list[object]) -> list[object]:
        parts.extend(part)
        return part

    model = _model(_NAMES)
    TASK.evaluate(model, dataset, [(samples[1:2], results[1:2])], gather=remember)
    joined = TASK.evaluate(
        model,
        dataset,
        [(samples[::2], results[::2])],
        gather=lambda part: parts + part,
    )
    single = TASK.evaluate(model, dataset, [(samples, results)])
    assert joined.images.images == single.images.images
    for ours, theirs in zip(joined.images.worst, single.images.worst, strict=True):
        assert ours.image == theirs.image
        assert (ours.draw() == theirs.draw()).all()
    assert joined.images.worst[0].image.place == 1


def test_the_roots_list_names_the_classes_then_the_model_does(
    data: SegmentationData, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for folder in ("images", "annotations"):
        (bare / folder).symlink_to(data.root / folder)
    model = _model(tuple("abcdefg"))
    assert TASK.evaluation_data(data, scale=None, model=model).class_names == _NAMES
    unnamed = replace(data, root=bare)
    assert TASK.evaluation_data(unnamed, scale=None, model=model).class_names == tuple("abcdefg")
    listed = replace(unnamed, class_names=tuple("gfedcba"))
    assert TASK.evaluation_data(listed, scale=None, model=model).class_names == tuple("gfedcba")
    nameless = _model(None, num_classes=7)
    found = TASK.evaluation_data(unnamed, scale=None, model=nameless)
    assert found.class_names[6] == "class 6"
    assert TASK.evaluation_data(unnamed, scale=None).class_names == ade20k_classes().names


def test_label_maps_may_store_the_labels_themselves(
    data: SegmentationData,
) -> None:
    plain = replace(data, reduce_zero_label=False, class_names=("nothing", *_NAMES))
    shifted = TASK.evaluation_data(data, scale=None)[0]["label_map"]
    assert torch.equal(TASK.evaluation_data(plain, scale=None)[0]["label_map"], shifted + 1)


def test_classes_that_do_not_fit_are_refused(data: SegmentationData) -> None:
    dataset = TASK.evaluation_data(data, scale=None)
    with pytest.raises(ValueError, match="got 5 of the model and 7 of the data"):
        TASK.check_classes(_model(tuple("abcde")), dataset)
    with pytest.raises(ValueError, match="got 'ground' instead of 'cross' for label 0"):
        TASK.check_classes(_model(_NAMES[::-1]), dataset)
    TASK.check_classes(_model(tuple("abcdefg")), dataset)  # other words for the same classes


def test_slide_and_ms_flip_are_those_of_the_model(data: SegmentationData) -> None:
    image = TASK.evaluation_data(data, scale=None)[0]["image"]
    model = _model(_NAMES).eval()
    window = SegmentationInference(mode="slide", crop=(40, 48), stride=(20, 24))
    (found,) = TASK.predictor(window).predict(model, [image], [(64, 64)])
    (expected,) = model.predict([image], mode="slide", crop=(40, 48), stride=(20, 24))
    assert torch.equal(found, expected)
    several = TASK.predictor(SegmentationInference(mode="ms_flip", scale=(32, 32)))
    assert several.scale is None  # ratios are of the image's own size
    (found,) = several.predict(model, [image], [(64, 64)])
    assert found.shape == (64, 64)
    assert TASK.predictor(SegmentationInference()).scale == (2048, 512)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (SegmentationInference(crop=(8, 8)), "--crop is for --mode slide, got whole"),
        (
            SegmentationInference(mode="ms_flip", stride=(8, 8)),
            "--stride is for --mode slide, got ms_flip",
        ),
        (
            SegmentationInference(mode="slide", crop=(8, 8), stride=(9, 8)),
            "--stride must be in 1..--crop",
        ),
    ],
)
def test_windows_without_sense_are_refused(flags: SegmentationInference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.predictor(flags)


def test_pixels_of_each_class_are_counted_without_ignored_ones() -> None:
    sample = {"label_map": torch.tensor([[0, 255], [2, 2]])}
    assert TASK.class_counts(sample, 4).tolist() == [1, 0, 2, 0]


def test_the_means_are_the_table_of_scores() -> None:
    table = TASK.score_table({"mIoU": 0.5, "mAcc": None, "aAcc": 1.0, "IoU": [0.5]})
    assert table.by_name == {"mIoU": 0.5, "mAcc": None, "aAcc": 1.0}
    assert TASK.score_name("mIoU") == "mIoU"


def test_a_label_map_is_written_as_class_numbers_from_0(tmp_path: Path) -> None:
    writer = LabelMapWriter(tmp_path, _model(("sky", "road", "tree")))
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    labels = torch.zeros(40, 60, dtype=torch.int64)
    labels[20:] = 2
    first = writer.add("a.jpg", image, labels)
    second = writer.add("more/a.jpg", image, 0 * labels)
    writer.add("a.jpg", image, labels)
    writer.close()
    assert first.shape == second.shape  # frames of a video must have one size
    assert first.shape[:2] == (40 * 8, first.shape[1])
    written = Image.open(tmp_path / "label_maps" / "a.png")
    assert written.mode == "L"
    assert np.array_equal(np.asarray(written), labels.numpy())
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert files == ["label_maps/a.png", "label_maps/a_2.png", "label_maps/more/a.png"]
    assert (tmp_path / "classes.txt").read_text() == "sky\nroad\ntree\n"


def test_truth_and_prediction_stand_side_by_side(data: SegmentationData) -> None:
    dataset = TASK.evaluation_data(data, scale=None)
    sample = dataset[0]
    picture = TASK.draw_beside_truth(dataset, sample, sample["label_map"], _model(_NAMES))
    assert picture.shape[1] > 2 * 64 * 7  # enlarged eight times
    half = picture[28:, : 64 * 8]
    assert np.array_equal(half, picture[28:, 64 * 8 + 8 : 2 * 64 * 8 + 8])


def test_a_sample_is_drawn_beside_its_annotations_and_classes(data: SegmentationData) -> None:
    dataset = TASK.training_data(replace(data, photometric=False), seed=0)
    sample = dataset[0]
    picture = TASK.draw_sample(dataset, sample)
    height, width = sample["image"].shape[1:]
    scale = round(480 / max(height, width))  # small images are enlarged
    assert picture.shape[0] > scale * height  # the titles stand above
    assert picture.shape[1] > 2 * scale * width  # the classes beside
    shown = picture[-scale * height :: scale, : scale * width : scale].astype(int)
    original = sample["image"].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(shown - original).mean() < 12  # the first picture has no colours over it
